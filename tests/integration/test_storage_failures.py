"""What an area says when its storage fails, and what killed processes leave behind."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.jobs import local_folder
from service.jobs.area import Area, StorageError
from service.jobs.local_folder import LocalFolder, NewFile
from service.jobs.s3_area import PART_BYTES
from service.jobs.safe_names import PART_PREFIX
from service.jobs.storage import open_area
from tests.s3_process import READER_ID, S3Process

SLOW_PUT = """
import asyncio, sys
from service.jobs.storage import open_area
async def chunks():
    for n in range(1000):
        yield bytes(1 << 20)
        if n == 20: print('going', flush=True)
        await asyncio.sleep(0.005)
asyncio.run(open_area(sys.argv[1]).put('victim', chunks()))
"""


def run(coroutine):
    return asyncio.run(coroutine)


def error_of(coroutine) -> StorageError:
    with pytest.raises(StorageError) as raised:
        run(coroutine)
    return raised.value


def names(area: Area) -> list[str]:
    async def listed():
        return [found.name async for page in area.list_pages() for found in page]

    return run(listed())


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def s3_environment(s3: S3Process, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["unnamed", "named"])
def way_of_writing(request, monkeypatch):
    """Some file systems (NFS) have no files without names."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    return request.param


def kill_while_putting(url: str, environment=os.environ) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_PUT, url], stdout=subprocess.PIPE, env=dict(environment)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"going\n"
    process.kill()
    process.wait()
    process.stdout.close()


def test_sigkill_leaves_no_file_at_all_where_files_need_no_names(tmp_path):
    kill_while_putting(f"file://{tmp_path}/area")
    assert files_in(tmp_path / "area") == []


def test_parts_of_a_killed_process_are_no_objects_and_are_cleaned_up(tmp_path, monkeypatch):
    code = "import os; del os.O_TMPFILE\n" + SLOW_PUT
    monkeypatch.setattr(sys.modules[__name__], "SLOW_PUT", code)
    area = open_area(f"file://{tmp_path}/area")
    kill_while_putting(area.url)
    (part,) = files_in(tmp_path / "area")
    assert part.startswith(PART_PREFIX)
    assert names(area) == []
    assert run(area.clean_up(3600)) == 0  # it might be in the making
    assert run(area.clean_up(0)) == 1
    assert files_in(tmp_path / "area") == []


def test_sigkill_leaves_no_object_on_s3(s3, s3_environment):
    area = open_area("s3://artifacts/killed")
    kill_while_putting(area.url)
    assert names(area) == []


def test_an_upload_that_is_given_up_leaves_no_parts_on_s3(s3, s3_environment):
    async def failing():
        for _ in range(3):
            yield bytes(PART_BYTES)
        raise LookupError

    async def stuck():
        for _ in range(3):
            yield bytes(PART_BYTES)
        await asyncio.sleep(100)

    async def given_up(content):
        task = asyncio.ensure_future(open_area("s3://outputs/given-up").put("x", content))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert s3.unfinished_uploads("outputs") == 0

    for content in (failing(), stuck()):
        run(given_up(content))


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, way_of_writing):
    (tmp_path / "area").mkdir()
    area = open_area(f"file://{tmp_path}/area")
    monkeypatch.setattr(NewFile, "_opened", lambda self: os.open("/dev/full", os.O_WRONLY))
    error = error_of(area.put("folder/x", b"x" * 100))
    assert (error.kind, error.retryable) == ("full", True)
    monkeypatch.undo()
    assert names(area) == []


def test_a_limit_on_the_size_of_files_leaves_nothing(tmp_path, way_of_writing):
    area = open_area(f"file://{tmp_path}/area")
    run(area.put("x", b"before"))

    async def chunks():
        for _ in range(8):
            yield bytes(1 << 20)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    try:
        assert error_of(area.put("x", chunks())).kind == "full"
        assert error_of(area.put("y", bytes(8 << 20))).kind == "full"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path / "area") == ["x"]
    assert run(area.get("x", 10)) == b"before"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *(
            (errno.ENOSPC, "full"),
            (errno.EDQUOT, "full"),
            (errno.EACCES, "refused"),
            (errno.EROFS, "refused"),
        ),
        *((errno.EIO, "unavailable"), (errno.ESTALE, "unavailable"), (errno.EMFILE, "unavailable")),
        (errno.ENOENT, "missing"),
    ],
)
def test_errors_of_the_file_system_have_kinds(number, kind):
    error = local_folder.storage_error(OSError(number, "?"))
    assert error.kind == kind
    assert error.reason == os.strerror(number)


def test_a_folder_without_permission_is_refused(tmp_path):
    folder = tmp_path / "area"
    folder.mkdir()
    (folder / "x").write_bytes(b"x")
    area = open_area(f"file://{folder}")
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may do everything
    try:
        for call in (area.put("y", b"y"), area.get("x", 9), area.delete(["x"]), area.delete_all()):
            assert error_of(call).kind == "refused"
        with pytest.raises(StorageError, match="Permission denied"):
            names(area)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    assert names(area) == ["x"]


def test_a_name_that_is_a_folder_or_beneath_a_file_is_refused(tmp_path, way_of_writing):
    area = open_area(f"file://{tmp_path}/area")
    run(area.put("a/b", b"x"))
    assert error_of(area.put("a", b"x")).kind == "refused"
    assert error_of(area.put("a/b/c", b"x")).kind == "refused"
    assert files_in(tmp_path / "area") == ["a", "a/b"]


def test_no_link_leads_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "root-outside"
    for folder in (root / "in", outside):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
    (root / "out").symlink_to(outside)
    (root / "out-file").symlink_to(outside / "file")
    (root / "out-too").symlink_to("../root-outside/file")
    (root / "in-file").symlink_to("in/file")
    (root / "in-folder").symlink_to(root / "in")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("nothing")
    os.mkfifo(root / "pipe")
    area = open_area(f"file://{root}")
    assert names(area) == ["in-file", "in/file"]
    assert run(area.get("in-file", 9)) == run(area.get("in-folder/file", 9)) == b"x"
    for name in ("out/file", "out-file", "out-too", "pipe"):
        assert error_of(area.get(name, 9)).kind == "refused"
    for name in ("loop", "nowhere"):
        assert error_of(area.get(name, 9)).kind in ("refused", "missing")
    assert error_of(area.put("out/new", b"x")).kind == "refused"
    assert error_of(area.below("out").put("new", b"x")).kind == "refused"
    run(area.put("out-file", b"new"))  # replaces the link, not what it leads to
    assert files_in(outside) == ["file"]
    assert (outside / "file").read_bytes() == b"x"
    run(area.delete(["out-too"]))
    run(area.delete_all())
    assert files_in(root) == []
    assert files_in(outside) == ["file"]


def test_a_link_that_appears_between_check_and_use_is_not_followed(tmp_path, monkeypatch):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    steps = LocalFolder._steps

    def then_swapped(self, parts):
        found = steps(self, parts)
        if (root / "a").is_dir() and not (root / "a").is_symlink():
            (root / "a").rmdir()
            (root / "a").symlink_to(outside)
        return found

    monkeypatch.setattr(LocalFolder, "_steps", then_swapped)
    assert error_of(open_area(f"file://{root}").put("a/x", b"x")).kind == "refused"
    assert files_in(outside) == []


def test_names_that_are_no_text_are_left_out(tmp_path):
    (tmp_path / "good").write_bytes(b"")
    (tmp_path / os.fsdecode(b"bad\xff")).write_bytes(b"")
    assert names(open_area(f"file://{tmp_path}")) == ["good"]


def test_a_missing_root_is_an_error_and_a_missing_folder_is_empty(tmp_path):
    with pytest.raises(StorageError) as raised:
        names(open_area(f"file://{tmp_path}/nope"))
    assert raised.value.kind == "missing"
    assert names(open_area(f"file://{tmp_path}").below("nope")) == []


def test_a_folder_of_many_files_is_listed_in_bounded_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(local_folder, "_SORTED_AT_A_TIME", 4)
    paths = [f"{n:02}" for n in range(13)] + ["03x/1", "03x/2", "07/"[:-1] + "y/1"]
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    area = open_area(f"file://{tmp_path}")
    assert names(area) == sorted(paths)


def test_storage_that_refuses_says_so(s3, monkeypatch):
    for name, value in s3.environment(READER_ID).items():
        monkeypatch.setenv(name, value)
    area = open_area("s3://artifacts/reader")
    error = error_of(area.put("x", b"x"))
    assert (error.kind, error.retryable) == ("refused", False)
    assert "AccessDenied" in error.reason
    assert error_of(area.put("x", bytes(2 * PART_BYTES))).kind == "refused"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert error_of(open_area("s3://artifacts/reader").put("x", b"x")).kind == "refused"


def test_folders_that_consoles_show_are_no_objects(s3, s3_environment):
    area = open_area("s3://photos")
    for name in ("empty", "full"):
        s3.mark_folder("photos", f"marked/{name}")
    run(area.put("marked/full/x", b""))
    run(area.put("marked/zero", b""))
    assert names(area.below("marked")) == ["full/x", "zero"]
    run(area.delete_prefix("marked"))


def test_a_bucket_that_is_not_there_is_missing(s3, s3_environment):
    area = open_area("s3://no-such-bucket/x")
    with pytest.raises(StorageError) as raised:
        names(area)
    assert raised.value.kind == "missing"
    assert error_of(area.get("x", 1)).kind == "missing"


def test_storage_that_is_away_is_unavailable_and_then_used_again(tmp_path, monkeypatch):
    own = S3Process(tmp_path)
    try:
        for name, value in own.environment().items():
            monkeypatch.setenv(name, value)
        area = open_area("s3://artifacts/away", timeout_seconds=0.5)
        run(area.put("x", b"x"))

        async def large():
            for n in range(6):
                if n == 3:
                    own.pause()
                yield bytes(PART_BYTES)

        begin = time.monotonic()
        assert error_of(area.put("large", large())).kind == "unavailable"
        assert error_of(area.get("x", 9)).kind == "unavailable"
        assert time.monotonic() - begin < 25
        own.resume()
        own.kill()
        error = error_of(area.put("y", b"y"))
        assert (error.kind, error.retryable) == ("unavailable", True)
        own.start()
        assert run(area.get("x", 9)) == b"x"
        assert "large" not in names(area)
    finally:
        own.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (507, b""),
        (503, b"<Error><Code>XMinioStorageFull</Code></Error>"),
        (403, b"<Error><Code>QuotaExceeded</Code></Error>"),
    ],
)
def test_a_server_that_is_full_is_full(monkeypatch, status, body):
    async def answered():
        async def full(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %d Full\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(full, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a")
        async with server:
            with pytest.raises(StorageError) as raised:
                await open_area("s3://artifacts", timeout_seconds=1).put("x", b"x")
        assert raised.value.kind == "full"

    run(answered())


def test_what_is_settled_was_written_to_the_disk(tmp_path, monkeypatch):
    written = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (written.append(os.fstat(handle).st_mode), fsync(handle)))
    area = open_area(f"file://{tmp_path}")
    run(area.put("x", b"x", settled=False))
    assert written == []
    run(area.settle())
    run(area.put("x", b"x"))
    assert [stat.S_IFMT(mode) for mode in written] == [stat.S_IFREG, stat.S_IFDIR]
