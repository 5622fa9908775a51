"""The tab Status: what `/metrics` says, as charts that move; the clock of the page is moved by the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from deploy.grafana.objectives import NOT_SERVED
from service.keys import create_key
from tests.e2e.conftest import opened
from tests.e2e.studio_page import StudioPage
from tests.gateway_process import GatewayProcess
from tests.jobs_service import JobsService
from tests.triton_process import TritonProcess

# What the format allows, and things that are no metrics.
HOSTILE = r"""
# HELP a_total A "counter" with {braces}
# TYPE a_total counter
a_total{path="C:\\dir",say="\"hi\"\nyou, {ok}",} 3 1395066363000
a_total 1e+06 # {trace_id="x y"} 0.5 1.5
  spaced  {  l = "1" , m="" }   -2.5
h_bucket{le="+Inf"} 7 # {trace_id="a}b"} 3e-4
up +Inf
down -Inf
none NaN
{"dotted.name",l="ü"} 4
half{l="open
no_value{l="x"}
wrong 12abc
{} 5
late .5
# EOF
"""


def poll(page: Page, until: Callable[[], bool], times: int = 20) -> None:
    """Lets two seconds pass on the page, until it shows something."""
    for _ in range(times):
        with page.expect_response("**/metrics"):
            page.clock.fast_forward(2000)
        page.wait_for_timeout(60)
        if until():
            return
    raise AssertionError(page.locator("main").inner_text())


def legend(page: Page, chart: str) -> dict[str, str]:
    """What the chart says of now, by series."""
    items = page.locator(f"#chart-{chart} .legend li").all()
    return {item.get_attribute("data-series") or "": item.locator("b").inner_text() for item in items}


def count(page: Page, chart: str) -> str:
    return page.locator(f"#chart-{chart} .count").inner_text()


def start(studio: StudioPage, view: str = "status") -> Page:
    studio.page.clock.install()
    page = studio.open(view)
    page.wait_for_selector("#chart-requests")
    return page


def test_metrics_are_read_as_their_format_says(studio: StudioPage) -> None:
    page = studio.open("verify")
    read = page.evaluate(
        """async text => {
          const { parseMetrics } = await import("/studio/tabs/status/prometheus.js");
          const values = ({ labels, value }) => [labels, String(value)];
          const read = [...parseMetrics(text)].map(([name, samples]) => [name, samples.map(values)]);
          return Object.fromEntries(read);
        }""",
        HOSTILE,
    )
    assert read == {
        "a_total": [[{"path": "C:\\dir", "say": '"hi"\nyou, {ok}'}, "3"], [{}, "1000000"]],
        "spaced": [[{"l": "1", "m": ""}, "-2.5"]],
        "h_bucket": [[{"le": "+Inf"}, "7"]],
        "up": [[{}, "Infinity"]],
        "down": [[{}, "-Infinity"]],
        "none": [[{}, "NaN"]],
        "dotted.name": [[{"l": "ü"}, "4"]],
        "late": [[{}, "0.5"]],
    }
    found: dict[str, Any] = page.evaluate(
        """async () => {
          const { increaseOver, quantile } = await import("/studio/tabs/status/increase.js");
          const { NOT_SERVED } = await import("/studio/tabs/status/measures.js");
          const { parseMetrics } = await import("/studio/tabs/status/prometheus.js");
          const looks = ['a{l="x",m="1"} 5', 'a{m="1",l="x"} 8\\na{l="y"} 2', 'a{l="x",m="1"} 1'];
          const group = ({ l }) => l;
          const buckets = new Map([["0.1", 50], ["+Inf", 100], ["0.5", 90]]);
          return {
            increase: Object.fromEntries(increaseOver(looks.map((text) => parseMetrics(text)), "a", group)),
            quantiles: [0.25, 0.5, 0.7, 0.95].map((share) => quantile(share, buckets)),
            nothing: [quantile(0.5, new Map()), quantile(0.5, new Map([["+Inf", 0]]))],
            notServed: NOT_SERVED.join("|"),
          };
        }"""
    )
    assert found["increase"] == {"x": 3 + 1, "y": 2}  # the server began anew before the third look
    # As `histogram_quantile` has them: linear within a bucket, and the last finite bound beyond it.
    assert found["quantiles"] == pytest.approx([0.05, 0.1, 0.3, 0.5])
    assert found["nothing"] == [None, None]
    assert found["notServed"] == NOT_SERVED


def test_charts_show_the_requests_that_are_made_and_stop_when_left(
    studio: StudioPage, service: JobsService
) -> None:
    page = start(studio)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert count(page, "requests") == "0 requests"
    with service.client() as client:
        for seed in range(7):
            assert client.get(f"/v1/models/toy/images/{seed}.png").status_code == 200
        for _ in range(3):
            assert client.get("/v1/models/no-such-model").status_code == 404
    poll(page, lambda: count(page, "requests") == "10 requests")
    page.click("#pause")  # what is read one after the other is of one moment
    page.wait_for_selector("#pause:text('Go on')")
    assert count(page, "errors") == "3 faults"
    assert set(legend(page, "errors")) == {"model-not-found (client)"}
    assert count(page, "images") == "7 images"
    assert set(legend(page, "images")) == {"toy"}
    rates = {name: float(text.removesuffix("/s")) for name, text in legend(page, "requests").items()}
    assert rates["ok"] == pytest.approx(rates["client fault"] * 7 / 3, rel=0.1)
    assert rates["server fault"] == 0
    assert legend(page, "latency")["p50"].endswith("s")  # or "ms"
    assert page.locator("#standing-readiness b").inner_text() == "Ready"
    assert page.locator("#standing-workers b").inner_text() == "1"
    page.click("#chart-requests summary")
    cells = page.locator("#chart-requests tbody tr").first.locator("td").all_inner_texts()
    assert cells == list(legend(page, "requests").values())
    assert studio.axe_everywhere() == []

    asked.clear()
    page.clock.fast_forward(10_000)
    page.wait_for_timeout(100)
    assert asked == []
    page.click("#pause")
    poll(page, lambda: True)
    page.click('#tabs a[href="#verify"]')
    page.wait_for_selector("main > .verify h1")
    asked.clear()
    page.clock.fast_forward(10_000)
    page.wait_for_timeout(100)
    assert [url for url in asked if url.endswith(("/metrics", "/readyz"))] == []
    page.click('#tabs a[href="#status"]')
    page.wait_for_selector("#chart-requests")
    assert count(page, "requests") == "10 requests"  # what was seen is kept


@pytest.mark.thorough
def test_a_queue_is_seen_while_there_is_one(studio: StudioPage, service: JobsService) -> None:
    page = start(studio)
    done = threading.Event()

    def load() -> None:
        with service.client() as client:
            while not done.is_set():
                seeds = list(range(64))
                client.post("/v1/generate", json={"model": "terrain", "seeds": seeds, "format": "jpeg"})

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        poll(page, lambda: float(legend(page, "queue").get("terrain", "0").replace(",", "")) > 0)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    poll(page, lambda: legend(page, "queue")["terrain"] == "0")


@pytest.mark.thorough
def test_a_server_that_is_away_leaves_a_gap_and_one_that_is_started_anew_counts_from_0(
    studio: StudioPage,
) -> None:
    told: list[int | None] = [100]

    def answer(route: Route) -> None:
        if told[0] is None:
            route.abort()
            return
        lines = [f'ganserve_requests_total{{operation="image",outcome="ok",fault="none"}} {told[0]}']
        route.fulfill(body="\n".join(["ganserve_build_info 1", *lines]), content_type="text/plain")

    studio.refusals_expected = True
    studio.page.route("**/metrics", answer)
    page = start(studio)
    for total in (104, 3):  # four more; then another process, which counted three
        told[0] = total
        poll(page, lambda: True)
    assert count(page, "requests") == "7 requests"
    assert page.locator("#chart-requests .gap").count() == 0
    told[0] = None
    page.clock.fast_forward(2000)
    page.wait_for_selector("#silent")
    assert page.locator("#chart-requests .gap").count() == 1
    assert legend(page, "requests")["ok"] == "–"
    told[0] = 50
    poll(page, lambda: page.locator("#silent").count() == 0)
    assert page.locator("#chart-requests .gap").count() == 1
    assert count(page, "requests") == "7 requests"  # nobody knows when the others came
    poll(page, lambda: True)
    line = page.locator("#chart-requests .plot path.look-0").get_attribute("d") or ""
    assert line.count("M") == 2, "the line goes on across the gap"


@pytest.mark.thorough
def test_metrics_that_are_closed_ask_for_a_key_once_and_say_so(
    browser: Browser, triton: TritonProcess, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    plain, admin = (create_key(keys, name, [name]) for name in ("generate", "admin"))
    gateway = GatewayProcess(triton.grpc_url, tmp_path / "log", keys_file=keys, open_metrics=False)
    try:
        for studio in opened(browser, gateway.url):
            studio.refusals_expected = True
            page = studio.open("status")
            page.locator("#key-dialog").get_by_role("button", name="Close").click()
            page.wait_for_selector("#closed")
            assert page.locator('[data-problem="unauthenticated"]').count() == 1
            page.wait_for_selector("#standing-readiness.good")  # which needs no key
            page.get_by_role("button", name="Try again").click()
            page.fill("#key", plain)
            page.keyboard.press("Enter")
            page.wait_for_selector('[data-problem="forbidden"]')
            assert "'admin'" in page.locator('[data-problem="forbidden"]').inner_text()
            assert studio.axe() == []
            page.click("#key-button")
            page.fill("#key", admin)
            page.keyboard.press("Enter")
            page.wait_for_selector("#chart-requests")
            assert page.locator("#closed").count() == 0
    finally:
        gateway.close()
