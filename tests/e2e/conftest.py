"""A browser, and the whole service for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.chromium import launched
from tests.e2e.studio_page import DESKTOP, StudioPage
from tests.jobs_service import JobsService, wait_usable
from tests.triton_process import TritonProcess

expect.set_options(timeout=20_000)  # as long as `StudioPage` waits; machines of tests are busy


@pytest.fixture(scope="session")
def service(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsService]:
    """A gateway and a worker over the shared Triton, for tests that leave them as they are."""
    process = JobsService(triton.grpc_url, tmp_path_factory.mktemp("studio"))
    process.start_worker()
    with process.client() as client:
        wait_usable(client)
    yield process
    process.close()


# For this folder, whose tests one process runs in a row: its event loop would disturb those that start one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, as the machine has it."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def studio(browser: Browser, service: JobsService) -> Iterator[StudioPage]:
    """The studio of `service`; faults that the browser reports fail the test."""
    yield from opened(browser, service.gateway.url)


def opened(browser: Browser, url: str) -> Iterator[StudioPage]:
    """The studio of a gateway, in a context of its own: nothing kept, nothing cached."""
    context = browser.new_context(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    try:
        page = StudioPage(context, url)
        yield page
        page.check()
    finally:
        context.close()
