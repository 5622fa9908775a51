"""Files that come with the request for a job: all of them are stored, or none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc

import pytest
from starlette.requests import ClientDisconnect, Request

from service.api.errors.problems import ProblemError
from service.api.requests.form_parts import FormParts
from service.jobs.archives import list_entries, read_entry
from service.jobs.area import Area, StorageError
from service.jobs.local_folder import LocalFolder
from service.jobs.receive import receive_job
from service.jobs.storage import open_area
from service.settings import Settings
from tests.unit.test_archives import zipped

BOUNDARY = "----boundary"
JOB = b'{"operation": "super-resolution"}'


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request_of(chunks, content_type: str = f"multipart/form-data; boundary={BOUNDARY}", leaves: bool = False):
    """A request whose body comes in chunks, at the pace at which it is read."""
    remaining = iter(chunks)

    async def receive():
        chunk = next(remaining, None)
        if chunk is None:
            if leaves:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": b"", "more_body": False}
        if isinstance(chunk, float):
            await asyncio.sleep(chunk)
            chunk = b""
        return {"type": "http.request", "body": chunk, "more_body": True}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "path": "/v1/jobs", "headers": headers}, receive)


def in_chunks(body: bytes, size: int = 65536):
    return [body[start : start + size] for start in range(0, len(body), size)]


async def names(area: Area) -> list[str]:
    return [found.name async for page in area.list_pages() for found in page]


def received(area: Area, chunks, **settings):
    return asyncio.run(receive_job(request_of(chunks), area, Settings(**settings)))


def refused(area: Area, body: bytes, **settings) -> ProblemError:
    async def both():
        with pytest.raises(ProblemError) as raised:
            await receive_job(request_of(in_chunks(body)), area, Settings(**settings))
        try:
            assert await names(area) == []
        except StorageError as error:
            assert error.kind == "missing"  # noqa: PT017  # nothing was ever made there
        return raised.value

    return asyncio.run(both())


def test_files_of_all_sizes_in_any_order(area):
    large = os.urandom(20 << 20)
    archive = bytes(zipped({"a.png": b"a", "b/c.png": b"c" * 100_000}))
    body = form(
        part("files", b"first", "holiday/ü 1.png"),
        part("zip", archive, "more.zip"),
        part("job", JOB),
        part("files", b"", "empty.png"),
        part("files", large, "large.png"),
        part("files", b"again", "holiday/ü 1.png"),
    )
    job = received(area, in_chunks(body))
    assert job.job == JOB
    contents = [b"first", archive, b"", large, b"again"]
    assert [file.name for file in job.files] == [
        *("holiday/ü 1.png", "more.zip", "empty.png", "large.png", "holiday/ü 1.png")
    ]
    assert [file.field for file in job.files] == ["files", "zip", "files", "files", "files"]
    assert [file.object for file in job.files] == [f"inputs/{n}" for n in range(5)]

    async def check():
        assert await names(area) == [f"inputs/{n}" for n in range(5)]
        for file, content in zip(job.files, contents, strict=True):
            assert await area.get(file.object, 1 << 30) == content
            assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        entries = [entry async for page in list_entries(area, "inputs/1") for entry in page]
        assert [await read_entry(area, "inputs/1", entry, 1 << 20) for entry in entries] == [
            b"a",
            b"c" * 100_000,
        ]

    asyncio.run(check())


@pytest.mark.parametrize("size", [1, 3, 7, 60, 100_000])
def test_however_the_body_is_cut(tmp_path, size):
    body = form(part("job", JOB), part("files", b"\r\n--" + b"x" * 50, "a"), part("files", b"\r\n", "b"))
    job = received(open_area(f"file://{tmp_path}/a"), in_chunks(body, size))
    assert [(tmp_path / "a" / file.object).read_bytes() for file in job.files] == [
        b"\r\n--" + b"x" * 50,
        b"\r\n",
    ]


def test_the_same_files_have_the_same_digest(tmp_path):
    def digest(*parts):
        return received(open_area(f"file://{tmp_path}/a"), [form(*parts)]).files_sha256

    a, b, job = part("files", b"1", "a"), part("files", b"2", "b"), part("job", JOB)
    assert digest(job, a, b) == digest(a, b, job)
    others = [(job, b, a), (job, a), (job, a, part("files", b"2", "c")), (job, a, part("files", b"3", "b"))]
    others.append((job, a, part("zip", b"2", "b")))
    assert len({digest(job, a, b), *(digest(*other) for other in others)}) == 6


@pytest.mark.thorough
def test_ten_thousand_files_in_one_request(tmp_path, monkeypatch):
    parts = [part("files", b"%d" % n, f"{n % 100}/{n}.png") for n in range(10_000)]
    body = form(part("job", JOB), *parts)
    area = open_area(f"file://{tmp_path}/a")

    fed = []
    feed = FormParts.feed
    monkeypatch.setattr(FormParts, "feed", lambda self, chunk: (fed.append(len(chunk)), feed(self, chunk)))
    job = received(area, in_chunks(body))
    assert [file.name for file in job.files] == [f"{n % 100}/{n}.png" for n in range(10_000)]
    assert (tmp_path / "a/inputs/9999").read_bytes() == b"9999"
    assert len(list((tmp_path / "a/inputs").iterdir())) == 10_000
    assert max(fed) <= 4096  # some 40 parts, about 3 ms


def test_one_file_too_many(tmp_path):
    body = form(part("job", JOB), *(part("files", b"x", f"{n}") for n in range(101)))
    assert len(received(open_area(f"file://{tmp_path}/a"), [body], max_job_files=101).files) == 101
    error = refused(open_area(f"file://{tmp_path}/b"), body, max_job_files=100)
    assert (error.problem.slug, error.members["limit_files"]) == ("too-many-files", 100)


def test_a_large_body_is_never_in_memory(area):
    megabyte = bytes(1 << 20)

    def chunks():
        yield part("job", JOB)
        for name in ("a", "b"):
            yield part("zip", b"", name)[:-2]
            for _ in range(100):
                yield from in_chunks(megabyte)
            yield b"\r\n"
        yield form()

    tracemalloc.start()
    try:
        job = received(area, chunks())
        assert tracemalloc.get_traced_memory()[1] < 90 << 20
    finally:
        tracemalloc.stop()
    assert [file.size for file in job.files] == [100 << 20] * 2


@pytest.mark.parametrize(
    ("body", "settings", "slug"),
    [
        (form(part("files", b"x", "x")), {}, "invalid-request"),
        (form(part("job", JOB), part("job", JOB)), {}, "invalid-request"),
        (form(part("files", b"x", "x"), part("job", JOB), part("other", b"")), {}, "invalid-request"),
        (form(part("files", b"x", "x"), part("files", b"no filename")), {}, "invalid-request"),
        (form(part("files", b"x", "x"), part("files", b"content", "")), {}, "invalid-request"),
        (form(part("files", b"x", "x"), part("job", JOB))[:-8], {}, "invalid-request"),
        (form(part("files", b"x", "x"), part("job", b"x" * 101)), {"max_body_bytes": 100}, "invalid-request"),
        (form(part("files", b"x", "x"), part("files", b"x", "y" * 2000)), {}, "invalid-request"),
        (
            form(part("files", b"x", "x"), part("files", b"x" * 101, "y")),
            {"max_upload_bytes": 100},
            "body-too-large",
        ),
        (form(part("files", b"x" * 3000, "x")), {"max_job_upload_bytes": 2000}, "body-too-large"),
        (b"--nonsense", {}, "invalid-request"),
        (b"", {}, "invalid-request"),
    ],
)
def test_a_request_that_is_refused_leaves_nothing(tmp_path, body, settings, slug):
    assert refused(open_area(f"file://{tmp_path}/a"), body, **settings).problem.slug == slug


def test_other_bodies_are_of_another_type(tmp_path):
    area = open_area(f"file://{tmp_path}")
    with pytest.raises(ProblemError) as raised:
        asyncio.run(receive_job(request_of([], "application/json"), area, Settings()))
    assert raised.value.problem.slug == "unsupported-media-type"


def test_all_is_on_the_disk_when_the_request_is_answered(tmp_path, monkeypatch):
    settled = []
    monkeypatch.setattr(
        LocalFolder, "settle", lambda self: settled.append(len(list(tmp_path.rglob("inputs/*"))))
    )
    parts = [part("files", b"x", f"{n}") for n in range(20)]
    received(open_area(f"file://{tmp_path}/a"), [form(part("job", JOB), *parts)])
    assert settled == [20]


def test_a_form_in_which_no_file_was_chosen(tmp_path):
    area = open_area(f"file://{tmp_path}/a")
    job = received(area, [form(part("files", b"", ""), part("job", JOB), part("files", b"x", "x"))])
    assert [(file.name, file.object) for file in job.files] == [("x", "inputs/0")]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        *(
            ("../../etc/passwd", "etc/passwd"),
            ("/abs/x.png", "abs/x.png"),
            ("a\\b.png", "a/b.png"),
            ("..", "file"),
        ),
        *(
            ("u\u0308.png", "\u00fc.png"),
            ("a\u202eb.png", "a_b.png"),
            ("a//./b", "a/b"),
            ("日本.png", "日本.png"),
        ),
    ],
)
def test_names_of_files_are_made_harmless(tmp_path, filename, name):
    job = received(open_area(f"file://{tmp_path}/a"), [form(part("job", JOB), part("files", b"x", filename))])
    assert job.files[0].name == name


@pytest.mark.parametrize("after", [10, 3 << 20])
def test_a_client_that_leaves_leaves_nothing(area, after):
    start = form(part("job", JOB), *(part("files", b"x", f"{n}") for n in range(40)))[: -len(BOUNDARY) - 6]
    start += part("files", bytes(after), "unfinished")[:-2]

    async def leave():
        with pytest.raises(ClientDisconnect):
            await receive_job(request_of(in_chunks(start), leaves=True), area, Settings())
        assert await names(area) == []

    asyncio.run(leave())


def test_a_request_that_is_cancelled_leaves_nothing(area):
    start = form(*(part("files", b"x", f"{n}") for n in range(40)))[: -len(BOUNDARY) - 6]
    chunks = [*in_chunks(start), *in_chunks(part("files", bytes(20 << 20), "unfinished")[:-2]), 60.0]

    async def cancel():
        work = asyncio.ensure_future(receive_job(request_of(chunks), area, Settings()))
        await asyncio.sleep(0.5)
        work.cancel()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert await names(area) == []

    asyncio.run(cancel())


def test_a_job_that_is_refused_is_so_before_its_files_come(tmp_path):
    area = open_area(f"file://{tmp_path}/a")
    taken = []

    def chunks():
        for n, chunk in enumerate([part("job", JOB), *[part("files", b"x", "x")] * 9, form()]):
            taken.append(n)
            yield chunk

    async def refuse(job):
        assert job == JOB
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(receive_job(request_of(chunks()), area, Settings(), on_job=refuse))
    assert taken == [0, 1]  # the end of a part is known by the beginning of the next


def test_a_body_that_stops_is_given_up(tmp_path):
    async def stop(chunks, **settings):
        with pytest.raises(ProblemError) as raised:
            await receive_job(request_of(chunks), open_area(f"file://{tmp_path}/a"), Settings(**settings))
        assert raised.value.problem.slug == "request-timeout"
        assert raised.value.headers["connection"] == "close"
        assert list(tmp_path.rglob("*")) in ([], [tmp_path / "a"])

    begun = [part("files", b"x", "x"), part("files", b"y", "y")]
    asyncio.run(stop([*begun, 9.0], receive_timeout_seconds=0.2))
    asyncio.run(stop([*begun, *[0.05] * 100], job_upload_timeout_seconds=0.3))


@pytest.mark.parametrize("size", [10, 5 << 20])
def test_storage_that_fails_ends_the_request_and_leaves_nothing(tmp_path, monkeypatch, size):
    area = open_area(f"file://{tmp_path}/a")
    put = type(area).put

    async def full(self, name, content, **options):
        if name != "inputs/3":
            return await put(self, name, content, **options)
        if not isinstance(content, bytes):
            await anext(aiter(content))
        raise StorageError("No space left on device", "full")

    monkeypatch.setattr(type(area), "put", full)
    taken = []

    def chunks():
        for n in range(1000):
            taken.append(n)
            yield part("files", bytes(size), f"{n}")
            yield 0.002

    with pytest.raises(StorageError, match="No space left"):
        asyncio.run(receive_job(request_of(chunks()), area, Settings()))
    assert len(taken) < 100
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_storage_that_fails_is_noticed_while_another_file_comes(tmp_path, monkeypatch):
    area = open_area(f"file://{tmp_path}/a")
    put = type(area).put

    async def full(self, name, content, **options):
        if name == "inputs/0":
            raise StorageError("No space left on device", "full")
        return await put(self, name, content, **options)

    monkeypatch.setattr(type(area), "put", full)
    taken = []

    def chunks():
        yield part("files", b"x", "x")
        yield part("zip", b"", "large")[:-2]
        for n in range(100):
            taken.append(n)
            yield bytes(65536)

    with pytest.raises(StorageError):
        asyncio.run(receive_job(request_of(chunks()), area, Settings()))
    assert len(taken) < 10
