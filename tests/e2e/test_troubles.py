"""The studio when the server is away, busy, or wants a key: it says so, waits, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.keys import create_key
from tests.e2e.conftest import opened
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import start_gateway  # noqa: F401 - a fixture
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

Start = Callable[..., GatewayProcess]
studio_of = contextmanager(opened)

# Twelve images at once, as a gallery asks for them: their sizes, and what calls said while they waited.
TWELVE = """async () => {
  const { studio } = ganserve;
  const said = [];
  studio.api.addEventListener("waiting", ({ detail }) => said.push([detail.problem.slug, detail.seconds]));
  const sizes = await Promise.all(
    Array.from({ length: 12 }, (_, seed) =>
      studio.api
        .blob(`v1/models/toy/images/${seed}.png`)
        .then(({ blob }) => blob.size, (problem) => problem.slug),
    ),
  );
  return { sizes, said };
}"""


@pytest.fixture(scope="module")
def own_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    """A Triton to kill, with a generator that takes its time."""
    repository = write_toy_repository(tmp_path_factory.mktemp("repository"), extra_milliseconds=40)
    process = TritonProcess(repository, tmp_path_factory.mktemp("triton") / "log").start()
    yield process
    process.close()


def test_a_key_is_asked_for_and_kept_in_memory_only(
    browser: Browser,
    triton: TritonProcess,
    start_gateway: Start,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys.json"
    key = create_key(file, "studio", ["generate"])
    gateway = start_gateway(triton.grpc_url, keys_file=file)
    gateway.wait_ready()
    with studio_of(browser, gateway.url) as studio:
        studio.refusals_expected = True
        page = studio.page
        page.goto(f"{gateway.url}/#generate?model=toy")
        dialog = page.locator("#key-dialog[open]")
        expect(dialog).to_contain_text("This call needs an API key")
        assert studio.axe() == []
        dialog.get_by_label("Key").fill("gsk_wrong")
        dialog.get_by_label("Key").press("Enter")
        expect(dialog).to_contain_text("not known")
        assert key not in (url := page.url), url
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_role("button", name="Use this key").click()
        expect(page.locator("#key-button")).to_have_attribute("aria-label", "API key: entered; change")
        page.wait_for_selector(".generate img")
        kept = page.evaluate(
            "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert key not in kept
        assert key not in page.content()
        page.reload()
        expect(dialog).to_contain_text("This call needs an API key")
        # Who closes the dialog is not asked for ever, and told what is missing.
        dialog.get_by_role("button", name="Close").click()
        expect(page.locator('main [data-problem="unauthenticated"]')).to_be_visible()
        page.click("#key-button")
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_label("Key").press("Enter")
        page.wait_for_selector(".generate img")
        expect(page.locator('main [data-problem="unauthenticated"]')).to_be_hidden()


def test_it_waits_as_long_as_a_busy_server_says(
    browser: Browser,
    own_triton: TritonProcess,
    start_gateway: Start,  # noqa: F811
) -> None:
    gateway = start_gateway(own_triton.grpc_url, queue_limit=2)
    gateway.wait_ready()
    with studio_of(browser, gateway.url) as studio:
        studio.refusals_expected = True
        page = studio.open("status")
        found = page.evaluate(TWELVE)
        assert all(isinstance(size, int) and size > 100 for size in found["sizes"]), found
        assert {slug for slug, _ in found["said"]} == {"queue-full"}
        assert all(seconds >= 1 for _, seconds in found["said"])  # what Retry-After said


def test_it_goes_on_by_itself_when_triton_and_the_gateway_come_back(
    browser: Browser,
    own_triton: TritonProcess,
    start_gateway: Start,  # noqa: F811
) -> None:
    gateway = start_gateway(own_triton.grpc_url)
    gateway.wait_ready()
    with studio_of(browser, gateway.url) as studio:
        studio.refusals_expected = True
        page = studio.open("status")
        bar = page.locator("#connection")
        expect(bar).to_be_hidden()

        own_triton.kill()
        page.evaluate("() => void (globalThis.twelve = (" + TWELVE + ")())")
        expect(bar).to_contain_text("serves no model at the moment")
        own_triton.start()
        found = page.evaluate("() => twelve")
        assert all(isinstance(size, int) for size in found["sizes"]), found
        expect(bar).to_be_hidden()

        gateway.kill()
        slugs = page.evaluate(TWELVE)["sizes"]
        assert set(slugs) == {"unreachable"}
        expect(bar).to_contain_text("cannot be reached")
        assert studio.axe() == []
        gateway.start()
        gateway.wait_ready()
        expect(bar).to_be_hidden()
        assert all(isinstance(size, int) for size in page.evaluate(TWELVE)["sizes"])
