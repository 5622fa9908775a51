"""The Jobs tab: folders become jobs, which are followed, repeated, cancelled and fetched."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import opened
from tests.e2e.studio_page import StudioPage
from tests.image_files import saved
from tests.jobs_service import JobsService, pages, wait_ended, wait_usable
from tests.triton_process import TritonProcess

BROKEN = b"\x89PNG\r\n\x1a\nand no more"
ID = re.compile(r"job_[0-9a-f]+")


def photos(folder: Path) -> dict[str, bytes]:
    """A folder of two pictures, a broken one, and a file that is none; the pictures by name."""
    colours = {"red.png": "red", "deep/blue.png": "blue"}
    made = {name: saved(Image.linear_gradient("L").resize((12, 8)).convert("RGB"), "PNG") for name in colours}
    made["deep/blue.png"] = saved(Image.new("RGB", (9, 7), "blue"), "PNG")
    for name, content in {**made, "broken.png": BROKEN, "notes.txt": b"text", ".hidden.png": b"x"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return made


def shown_job(page: Page) -> str:
    """The id of the job on screen, once it is."""
    page.wait_for_selector("#job-title")
    found = ID.search(page.url)
    assert found is not None
    return found[0]


def row(page: Page, name: str) -> Any:
    return page.locator(".items tbody tr", has=page.get_by_text(name, exact=True))


def begin_seeds(studio: StudioPage, count: int) -> str:
    page = studio.open(f"jobs?new=seeds&model=toy&seeds=0-{count - 1}")
    page.click("#send")
    return shown_job(page)


def test_a_folder_is_dropped_followed_retried_and_fetched(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    sent = photos(folder)
    page = studio.open("jobs")
    studio.drop(".dropzone", folder)
    expect(page.locator(".sum")).to_contain_text("3 images, ")
    expect(page.locator(".left-out")).to_contain_text("holiday/notes.txt: it is no image")
    page.select_option("#model", "photo-x4")
    page.fill('.slider input[type="number"]', "2")
    page.keyboard.press("Tab")
    page.click("#send")
    job = shown_job(page)
    page.wait_for_selector("#archive")
    expect(page.locator("#job-title")).to_have_text("holiday")
    expect(page.locator(".state .badge")).to_contain_text("Done in part")
    expect(row(page, "holiday/broken.png")).to_contain_text("The image cannot be read")
    expect(page.locator("#announcements")).to_contain_text("2 of 3 done, 1 failed")
    with service.client() as http:
        items = {item["name"]: item for item in pages(http, f"/v1/jobs/{job}/items")}
        assert {name for name, item in items.items() if item["state"] == "succeeded"} == {
            f"holiday/{name}" for name in sent
        }
        for name, content in sent.items():
            output = items[f"holiday/{name}"]["output"]
            directly = http.post(
                "/v1/super-resolution",
                data={"model": "photo-x4", "scale": "2"},
                files={"image": (name, content)},
            )
            assert directly.headers["x-pixels-sha256"] == output["pixels_sha256"]
            saved_as, fetched = studio.downloaded(f"tr[data-n='{items[f'holiday/{name}']['n']}'] .save")
            assert (saved_as, fetched) == (Path(name).name, http.get(output["href"]).content)
        blue = items["holiday/deep/blue.png"]
        picture = f"tr[data-n='{blue['n']}'] .thumb"
        page.wait_for_selector(f"{picture} img")
        assert bytes(studio.pixels(f"{picture} img")["rgb"]) == pixels_of(
            http.get(blue["output"]["href"]).content
        )
        for with_key in (False, True):  # a link brings no key, so the archive is fetched another way then
            if with_key:
                page.evaluate("ganserve.studio.api.setKey('gsk_any')")
                page.wait_for_selector("button#archive")
            name, archive = studio.downloaded("#archive")
            assert name == f"{job}.zip"
            with zipfile.ZipFile(io.BytesIO(archive)) as opened_archive:
                assert sorted(opened_archive.namelist()) == sorted(
                    [*(item["output"]["name"] for item in items.values() if item["output"]), "manifest.json"]
                )
                read = opened_archive.read(blue["output"]["name"])
                assert read == http.get(blue["output"]["href"]).content
    page.click(f"{picture}")
    page.wait_for_selector("#picture-dialog img")
    page.keyboard.press("Escape")
    page.click('.chip[data-show="failed"]')
    expect(page.locator(".items tbody tr")).to_have_count(1)
    page.click("#retry")
    expect(page.locator("dl.facts")).to_contain_text("once")
    page.wait_for_selector("#archive")
    expect(row(page, "holiday/broken.png")).to_contain_text("The image cannot be read")
    with service.client() as http:
        assert wait_ended(http, job)["round"] == 1
    studio.drop(".state", folder / "deep")  # what is dropped on a job is another one
    expect(page.locator(".sum")).to_contain_text("1 image, ")
    page.click("#discard")
    page.wait_for_selector("form", state="detached")
    page.go_back()
    page.wait_for_selector("#archive")
    assert studio.axe_everywhere() == []


@pytest.mark.thorough
def test_a_job_of_seeds_by_keyboard_made_once_though_the_answer_is_lost_and_as_commands(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    page = studio.open("jobs")
    page.focus("#seeds-job")
    page.keyboard.press("Enter")
    page.wait_for_selector("#seeds")
    page.fill("#seeds", "5-3")
    page.keyboard.press("Tab")
    expect(page.locator(".fault")).to_contain_text("runs backwards")
    assert page.locator("#send").is_disabled()
    page.fill("#seeds", "3-5")
    page.keyboard.press("Tab")
    page.select_option("#model", "emoji")
    page.select_option("#label", "Objects")
    page.fill("#truncation", "0.5")
    page.get_by_text("Edits", exact=True).click()
    page.get_by_label("direction-01, as a number").fill("2.5")
    page.keyboard.press("Tab")
    page.select_option("#format", "webp")
    assert studio.axe_everywhere() == []
    page.reload()  # the settings are in the URL
    expect(page.locator("#send")).to_have_text("Generate 3 images")
    keys: list[str] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        assert answer.status == 202, answer.text()
        route.abort("connectionreset")

    page.route("**/v1/jobs", lose)
    studio.refusals_expected = True
    page.click("#send")
    job = shown_job(page)
    page.unroute_all()
    page.wait_for_selector("#archive")
    with service.client() as http:
        found = http.get("/v1/jobs", params={"idempotency_key": keys[0]}).json()["data"]
        assert ([one["id"] for one in found], len(keys)) == ([job], 1)

        def made(id: str) -> list[tuple[str, str]]:
            wait_ended(http, id)
            return [
                (i["output"]["name"], i["output"]["pixels_sha256"])
                for i in pages(http, f"/v1/jobs/{id}/items")
            ]

        wanted = made(job)
        styling = "truncation=0.5&label=Objects&edits=direction-01:2.5"
        for number, (name, digest) in enumerate(wanted):
            address = f"/v1/models/emoji/images/{3 + number}.webp?{styling}"
            assert (name, digest) == (
                f"seed{3 + number:04}.webp",
                http.get(address).headers["x-pixels-sha256"],
            )
        assert made(json.loads(studio.run_command("curl", tmp_path, within=".making"))["id"]) == wanted
        said = studio.run_command("Python", tmp_path, within=".making").decode()
        assert made(said.split()[1]) == wanted
        studio.run_command("CLI", tmp_path, within=".making")
        files = sorted((tmp_path / "results").glob("*.webp"))
        assert [hashlib.sha256(pixels_of(f.read_bytes())).hexdigest() for f in files] == [
            d for _, d in wanted
        ]
        told = studio.run_command("curl", tmp_path, within=".following").decode()
        assert told.count("event: item") == 3
        assert '"state":"succeeded","revision"' in told.replace(" ", "").partition("event:end")[2]
        assert b"3 of 3 succeeded" in studio.run_command("CLI", tmp_path, within=".following")
        studio.run_command("curl", tmp_path, within=".fetching")
        with zipfile.ZipFile(tmp_path / f"{job}.zip") as archive:
            assert sorted(archive.namelist()) == sorted([*(name for name, _ in wanted), "manifest.json"])


@pytest.mark.thorough
def test_chosen_files_are_sent_and_again_by_command(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    sent = photos(tmp_path / "holiday")
    page = studio.open("jobs")
    page.set_input_files("#folder", tmp_path / "holiday")
    page.wait_for_selector("#send:not([disabled])")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("zipped.png", sent["red.png"])
    page.set_input_files("#files", [tmp_path / "holiday" / "red.png", tmp_path / "more.zip"])
    expect(page.locator(".sum")).to_contain_text("4 images, 1 archive, ")
    page.click("#send")
    job = shown_job(page)
    page.wait_for_selector("#archive")
    with service.client() as http:
        names = [item["name"] for item in pages(http, f"/v1/jobs/{job}/items")]
        assert sorted(names) == sorted(
            [*(f"holiday/{name}" for name in sent), "holiday/broken.png", "red.png", "zipped.png"]
        )
        for name in ("red.png", "zipped.png"):
            (tmp_path / name).write_bytes(sent["red.png"])
        again = json.loads(studio.run_command("curl", tmp_path, within=".making"))["id"]
        wait_ended(http, again)

        def digests(id: str) -> list[tuple[str, str | None]]:
            items = pages(http, f"/v1/jobs/{id}/items")
            return [(i["name"], i["output"] and i["output"]["pixels_sha256"]) for i in items]

        assert digests(again) == digests(job)


@pytest.mark.thorough
def test_an_upload_is_called_off_and_leaves_nothing(
    studio: StudioPage, service: JobsService, tmp_path: Path
) -> None:
    (tmp_path / "large").mkdir()
    for n in range(4):
        noise = Image.effect_noise((1500, 1500), 90).convert("RGB")
        (tmp_path / "large" / f"{n}.bmp").write_bytes(saved(noise, "BMP"))
    studio.refusals_expected = True
    page = studio.open("jobs")
    with service.client() as http:
        before = [job["id"] for job in pages(http, "/v1/jobs")]
        page.set_input_files("#folder", tmp_path / "large")
        page.wait_for_selector("#send:not([disabled])")
        devtools = studio.context.new_cdp_session(page)
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4 << 20}
        devtools.send("Network.emulateNetworkConditions", slow)
        page.click("#send")
        expect(page.locator(".sending .progress span")).to_have_text(re.compile(r"^[1-9].* of \d+.* sent"))
        page.click('#tabs a[href="#models"]')  # it goes on meanwhile
        page.wait_for_selector("main > .models h1")
        page.click('#tabs a[href="#jobs"]')
        page.click("#stop-sending")
        page.wait_for_selector("#send:not([disabled])")  # with what was chosen
        devtools.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
        assert [job["id"] for job in pages(http, "/v1/jobs")] == before
        limits = {**http.get("/v1/limits").json(), "max_job_files": 3, "max_upload_bytes": 1000}
    page.route("**/v1/limits", lambda route: route.fulfill(json=limits))
    studio.open("jobs")
    page.set_input_files("#folder", tmp_path / "large")
    expect(page.locator(".left-out li").first).to_contain_text("larger than the server takes")
    for n in range(4):
        (tmp_path / "large" / f"{n}.bmp").write_bytes(b"BM" + bytes(20))
    page.set_input_files("#folder", tmp_path / "large")
    expect(page.locator(".fault")).to_contain_text("the server takes 3 files in one job")
    assert studio.axe_everywhere() == []


@pytest.mark.thorough
def test_a_job_is_reloaded_cancelled_and_deleted(studio: StudioPage, service: JobsService) -> None:
    job = begin_seeds(studio, 3000)
    page = studio.page
    expect(page.locator(".bar")).not_to_have_attribute("aria-valuenow", "0")
    assert re.match(r"\d+ % · Generate with toy", page.title())
    page.reload()
    before = page.locator(".bar").get_attribute("aria-valuenow")
    expect(page.locator(".bar")).not_to_have_attribute("aria-valuenow", str(before))
    expect(page.locator(".items tbody tr")).to_have_count(50)
    page.wait_for_selector(".items .thumb img")
    page.fill(".jump input", "2990")
    page.keyboard.press("Enter")
    expect(page.locator(".items tbody tr th").first).to_have_text("Seed 2989")
    expect(page.locator(".items tbody tr")).to_have_count(11)
    page.click("#cancel")
    page.click("dialog[open] .primary")
    page.wait_for_selector('.state[data-state="cancelled"]')
    expect(page.locator(".items tbody tr").last).to_have_attribute("data-state", "cancelled")
    with service.client() as http:
        counts = wait_ended(http, job)["counts"]
        assert 0 < counts["cancelled"] < 3000
        expect(page.locator("#retry")).to_contain_text(f"{counts['cancelled']:,}")
        page.click("#delete")
        page.click("dialog[open] .primary")
        page.wait_for_selector("ol.jobs, .empty")
        assert page.title() == "Jobs · ganserve studio"
        assert page.locator(f'[data-job="{job}"]').count() == 0
        assert http.get(f"/v1/jobs/{job}").status_code == 404


@pytest.mark.thorough
def test_the_list_is_live_filtered_and_paged(studio: StudioPage, service: JobsService) -> None:
    body = {"operation": "generate", "model": "toy", "seeds": [1]}
    page = studio.open("jobs")
    with service.client() as http:
        for n in range(22):
            job = http.post("/v1/jobs", json={**body, "metadata": {"title": f"Job {n}"}}).json()["id"]
        page.wait_for_selector(f'[data-job="{job}"][data-state="succeeded"]')
    expect(page.locator("ol.jobs > li")).to_have_count(20)
    expect(page.locator("ol.jobs > li").first).to_contain_text("Job 21")
    page.get_by_role("button", name="Older", exact=True).click()
    expect(page.locator("ol.jobs > li").first).to_contain_text("Job 1")
    page.go_back()
    expect(page.locator("ol.jobs > li").first).to_contain_text("Job 21")
    page.get_by_role("button", name="Done", exact=True).click()
    page.wait_for_url("**/#jobs?state=succeeded")
    expect(page.locator("ol.jobs > li").first).to_contain_text("Job 21")
    assert studio.axe_everywhere() == []
    studio.refusals_expected = True
    away = {"type": "/problems/jobs-unavailable", "title": "The database of jobs is away", "status": 503}
    page.route(
        "**/v1/jobs?*",
        lambda route: route.fulfill(status=503, json=away, content_type="application/problem+json"),
    )
    page.wait_for_selector('[data-problem="jobs-unavailable"]')
    page.unroute_all()
    page.wait_for_selector('[data-problem="jobs-unavailable"]', state="detached")


@pytest.fixture
def own_service(triton: TritonProcess, tmp_path: Path) -> Any:
    """A gateway without a worker, to be killed."""
    service = JobsService(triton.grpc_url, tmp_path)
    with service.client() as http:
        wait_usable(http)
    yield service
    service.close()


def wait_begun(service: JobsService, job: str) -> None:
    """Returns once something of a job is done."""
    with service.client() as http:
        service.wait_for(lambda: http.get(f"/v1/jobs/{job}").json()["counts"]["succeeded"] > 0, 60)


def test_a_job_without_worker_and_a_gateway_that_is_killed(
    browser: Browser, own_service: JobsService
) -> None:
    for studio in opened(browser, own_service.gateway.url):
        job = begin_seeds(studio, 120)
        page = studio.page
        expect(page.locator(".waits")).to_contain_text("waits for a worker")
        worker = own_service.start_worker()
        wait_begun(own_service, job)
        worker.process.send_signal(signal.SIGSTOP)  # in the midst of it, however fast it is
        expect(page.locator(".bar")).not_to_have_attribute("aria-valuenow", "0")
        studio.refusals_expected = True
        page.evaluate("window.sameDocument = true")
        own_service.gateway.kill()
        expect(page.locator(".lost")).to_contain_text("lost")
        own_service.gateway.start()
        worker.process.send_signal(signal.SIGCONT)
        expect(page.locator(".lost")).to_have_count(0)
        page.wait_for_selector("#archive", timeout=60_000)
        assert page.evaluate("window.sameDocument") is True
        expect(page.locator(".state")).to_contain_text("120 of 120 done")
        expect(page.locator('.items tbody tr[data-state="succeeded"]')).to_have_count(50)
        assert page.locator("main > .jobs > .notice.bad").count() == 0
        with own_service.client() as http:
            assert http.get(f"/v1/jobs/{job}").status_code == httpx.codes.OK
            assert wait_ended(http, job)["counts"]["succeeded"] == 120


def pixels_of(file: bytes) -> bytes:
    return Image.open(io.BytesIO(file)).convert("RGB").tobytes()
