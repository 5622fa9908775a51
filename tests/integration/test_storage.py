"""What an area promises, on a folder and on a real S3 server."""

from __future__ import annotations

import asyncio
import io
import os
import random
import subprocess
import sys
import tempfile
from contextlib import aclosing
from urllib.parse import unquote

import pytest

from service.jobs.area import Area, ObjectTooLargeError, StorageError
from service.jobs.local_area import LocalArea
from service.jobs.s3_area import PART_BYTES
from service.jobs.storage import open_area

NAMES = [
    *(
        "a.txt",
        "a/b",
        "a/c/d",
        "a#1",
        "a-b",
        "A",
        "é/ü x.jpg",
        "日本.png",
        "50%.jpg",
        "b%20c.png",
        "x~y",
        "x:y.png",
    ),
    *(
        "q?[1]*.png",
        "pl+us.jpg",
        "a&b;c='d'.png",
        "😀.png",
        " lead",
        "trail ",
        "...",
        "{c}^`|<>.png",
        "=",
        '"',
    ),
]


async def listed(area: Area, after: str | None = None, page: int = 1000) -> list[str]:
    pages = [found async for found in area.list_pages(after, page)]
    assert all(0 < len(found) <= page for found in pages)
    return [found.name for one in pages for found in one]


def run(coroutine):
    return asyncio.run(coroutine)


async def in_chunks(data: bytes, size: int = 1 << 20):
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


def kind_of(coroutine) -> str:
    with pytest.raises(StorageError) as raised:
        run(coroutine)
    return raised.value.kind


def test_names_of_every_kind_are_kept_as_they_are(area):
    async def all_of_them():
        for name in NAMES:
            assert await area.put(name, name.encode(), attributes={"Content-Type": "image/png"}) == len(
                name.encode()
            )
        assert sorted(await listed(area)) == sorted(NAMES)
        for name in NAMES:
            assert await area.get(name, 100) == name.encode()
            assert (await area.head(name)).size == len(name.encode())
        await area.delete([*NAMES[:5], "never there"])
        assert sorted(await listed(area)) == sorted(NAMES[5:])
        assert not await area.exists(NAMES[0])
        assert await area.exists(NAMES[6])

    run(all_of_them())


def test_the_url_of_an_object_leads_back_to_it(area):
    name = "é/50% of #1?.jpg"
    run(area.put(name, b"x"))
    folder, _, last = area.url_of(name).rpartition("/")
    assert run(open_area(folder).get(unquote(last), 9)) == b"x"


def test_listing_goes_on_after_any_name(area):
    async def from_everywhere():
        for name in NAMES:
            await area.put(name, b"")
        everything = await listed(area)
        for place, name in enumerate(everything):
            assert await listed(area, name, page=3) == everything[place + 1 :]
        assert await listed(area.below("a")) == ["b", "c/d"]
        await area.delete([everything[7]])
        assert await listed(area, everything[7]) == everything[8:]
        async with aclosing(area.list_pages(page=2)) as pages:
            async for found in pages:
                assert len(found) == 2
                break

    run(from_everywhere())


def test_a_listing_of_many_comes_in_pages(area):
    async def many():
        names = [f"{n % 7}/{n:05}" for n in range(2300)]
        together = asyncio.Semaphore(16)

        async def one(name):
            async with together:
                await area.put(name, b"x")

        await asyncio.gather(*map(one, names))
        pages = [[found.name for found in page] async for page in area.list_pages(page=1000)]
        assert [len(page) for page in pages] == [1000, 1000, 300]
        assert [name for page in pages for name in page] == sorted(names)
        assert await area.delete_prefix("3") == len([name for name in names if name.startswith("3/")])
        assert await area.delete_all() == len([name for name in names if not name.startswith("3/")])
        assert await listed(area) == []
        assert await area.delete_all() == 0

    run(many())


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
def test_content_of_any_form_and_size_comes_back(area, size):
    data = random.Random(size).randbytes(size)

    async def forms():
        with tempfile.SpooledTemporaryFile(1 << 20) as file:
            file.write(data)
            file.seek(0)
            for content in (data, in_chunks(data), in_chunks(data, PART_BYTES * 2), file):
                assert await area.put("x", content) == size
                assert await area.get("x", size) == data
        assert b"".join([chunk async for chunk in area.stream("x")]) == data
        assert await area.get_range("x", size // 2, 10) == data[size // 2 : size // 2 + 10]
        assert await area.get_range("x", size + 5, 10) == b""
        assert await area.get_range("x", 0, size + 10) == data
        assert await listed(area) == ["x"]
        if size:
            with pytest.raises(ObjectTooLargeError):
                await area.get("x", size - 1)

    run(forms())


@pytest.mark.parametrize("length", [0, 1, 4 * PART_BYTES])
@pytest.mark.parametrize("before", [None, b"before"])
def test_content_that_fails_leaves_what_there_was(area, length, before):
    class ContentError(Exception):
        pass

    async def failing():
        async for chunk in in_chunks(b"x" * length):
            yield chunk
        raise ContentError

    async def put():
        if before is not None:
            await area.put("x", before)
        with pytest.raises(ContentError):
            await area.put("x", failing())
        assert await listed(area) == ([] if before is None else ["x"])
        if before is not None:
            assert await area.get("x", 100) == before

    run(put())


def test_a_put_that_is_cancelled_leaves_nothing(area):
    async def endless():
        while True:
            yield b"x" * (1 << 20)
            await asyncio.sleep(0.001)

    async def stuck():
        yield b"x" * (3 * PART_BYTES)
        await asyncio.sleep(1000)

    async def cancelled():
        for content in (endless(), stuck()):
            task = asyncio.ensure_future(area.put("x", content))
            await asyncio.sleep(0.7)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await listed(area) == []

    run(cancelled())


def test_a_replaced_object_is_never_mixed_with_the_old_one(area):
    async def replaced():
        await area.put("x", b"1" * (12 << 20))
        async with aclosing(area.stream("x")) as chunks:
            got = await anext(chunks)
            await area.put("x", b"2" * (12 << 20))
            if isinstance(area, LocalArea):  # an open file stays what it was
                got += b"".join([chunk async for chunk in chunks])
            else:
                with pytest.raises(StorageError, match="412"):
                    await anext(chunks)
        assert set(got) == {ord("1")}
        assert await area.get("x", 12 << 20) == b"2" * (12 << 20)

    run(replaced())


def test_what_is_not_there_is_missing(area):
    run(area.put("folder/x", b"x"))
    for name in ("nope", "folder", "folder/nope", "no/such"):
        assert kind_of(area.get(name, 10)) == "missing"
        assert kind_of(area.head(name)) == "missing"
        assert kind_of(area.get_range(name, 0, 10)) == "missing"
        assert kind_of(listing(area.stream(name))) == "missing"
    assert run(listed(area.below("nope"))) == []


async def listing(chunks):
    return [chunk async for chunk in chunks]


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../../x", "/x", "a//b", "a\\b", "a\nb", "u\u0308", "x" * 256]
)
def test_nothing_is_written_under_a_name_that_misleads(area, name):
    assert kind_of(area.put(name, b"x")) == "refused"
    assert run(listed(area)) == []


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/\0"])
def test_nothing_is_read_outside(area, name):
    for call in (area.get(name, 9), area.head(name), area.get_range(name, 0, 9), area.delete([name])):
        assert kind_of(call) == "refused"
    with pytest.raises(StorageError):
        area.below(name)


def test_many_writers_of_one_name_leave_one_of_them_whole(area):
    async def race():
        contents = [bytes([n]) * 300_000 for n in range(12)]
        await asyncio.gather(*(area.put("x", content) for content in contents))
        assert await area.get("x", 300_000) in contents
        assert await listed(area) == ["x"]

    run(race())


def test_an_open_file_is_read_from_where_it_stands(area):
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    assert run(area.put("x", file)) == 6
    assert run(area.get("x", 9)) == b"456789"


def test_the_memory_of_a_large_put_is_bounded(area):
    code = (
        "import asyncio, sys, resource; from service.jobs.storage import open_area\n"
        "from service.process_end import end_process\n"
        "async def chunks():\n  for _ in range(256): yield bytes(1 << 20)\n"
        "area = open_area(sys.argv[1]); asyncio.run(area.put('small', b'x'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "asyncio.run(area.put('large', chunks()))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10); end_process(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, area.url], capture_output=True, text=True, check=True, env=os.environ
    )
    assert int(done.stdout) < 100
