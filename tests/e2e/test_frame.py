"""The frame of the studio: what is sent, what it weighs, keys, and a server that is away."""

from __future__ import annotations

from tests.e2e.studio_page import StudioPage
from tests.jobs_service import JobsService

TABS = [
    "generate",
    "interpolate",
    "mix",
    "edit",
    "translate",
    "upscale",
    "jobs",
    "models",
    "verify",
    "status",
]


def test_every_tab_opens_from_the_navigation(studio: StudioPage) -> None:
    page = studio.open()
    for tab in TABS:
        page.click(f'#tabs a[href="#{tab}"]')
        page.wait_for_selector(f"main > .{tab} h1")
        assert page.locator("#tabs [aria-current]").inner_text().lower() == tab
        assert page.url.partition("#")[2].partition("?")[0] == tab


def test_files_are_sent_with_a_strict_policy_and_only_once(service: JobsService) -> None:
    with service.client() as client:
        answer = client.get("/", headers={"accept-encoding": "gzip"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["content-encoding"] == "gzip"
        again = client.get("/", headers={"accept-encoding": "gzip", "if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        plain = client.get("/", headers={"accept-encoding": "identity"})
        assert plain.text == answer.text
        assert plain.headers["etag"] != answer.headers["etag"]
        for path in ("../app.py", "%2e%2e/app.py", "README.md", "core", "", "nothing.js", "a%00.js"):
            refused = client.get(f"/studio/{path}")
            assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found"), path
