import asyncio

import pytest

from service.jobs.allowed import NotAllowedError, allowed_area, checked_prefix
from service.jobs.area import StorageError
from service.jobs.places import Places
from service.jobs.storage import StorageUrlError, open_area, read_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///data/photos/", ("file", "", ("data", "photos"))),
        ("FILE://localhost/data", ("file", "", ("data",))),
        ("file:///a%20b/%C3%BC/50%25", ("file", "", ("a b", "ü", "50%"))),
        ("file:///", ("file", "", ())),
        ("s3://photos", ("s3", "photos", ())),
        ("s3://photos/", ("s3", "photos", ())),
        ("s3://my.bucket-1/日本/x y", ("s3", "my.bucket-1", ("日本", "x y"))),
    ],
)
def test_urls(url, expected):
    place = read_url(url)
    assert (place.scheme, place.bucket, place.parts) == expected
    assert read_url(open_area(url).url) == place


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "photos",
            "/data",
            "http://x/y",
            "https://s3.amazonaws.com/b",
            "gs://b",
            "memory://",
            "file://data",
        ),
        *(
            "file://host/data",
            "file:",
            "s3:///x",
            "s3://Photos",
            "s3://a",
            "s3://user@bucket",
            "s3://bucket:80/x",
        ),
        *(
            "file:///a/../b",
            "file:///a/./b",
            "file:///a/%2e%2e/b",
            "file:///a/%2E./b",
            "file:///a%2fb",
            "s3://bbb/../x",
        ),
        *(
            "file:///a//b",
            "file:////a",
            "s3://bbb//x",
            "s3://bbb/x//",
            "s3://bbb/x?y",
            "s3://bbb/x#y",
            "file:///a%5cb",
        ),
        *(
            "file:///a\\..\\b",
            "file:///a%00b",
            "file:///a\nb",
            "s3://bbb/%ff",
            "s3://bbb/50%",
            "s3://bbb/%zz",
        ),
        *("s3://bbb/%252e%252e/..", "file:///..%2f..", "s3://bbb..", "file:///\u202e"),
    ],
)
def test_urls_that_hide_something_are_refused(url):
    with pytest.raises(StorageUrlError):
        read_url(url)


ALLOWED = ("s3://bucket/photos", "file:///data/in", "s3://other")


def allowed(url, prefixes=ALLOWED):
    return asyncio.run(allowed_area(url, prefixes))


@pytest.mark.parametrize(
    "url",
    [
        *("s3://bucket/photos", "s3://bucket/photos/", "s3://bucket/photos/a/b", "s3://bucket/%70hotos/a"),
        *("s3://other", "s3://other/x", "s3://bucket/photos/%252e%252e", "s3://bucket/photos/..."),
    ],
)
def test_below_an_allowed_prefix(url):
    assert read_url(allowed(url).url) == read_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "s3://bucket/photos-private",
            "s3://bucket/photo",
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket2/photos",
        ),
        *(
            "s3://bucket/Photos/a",
            "file:///data/into",
            "file:///data",
            "file:///bucket/photos",
            "s3://othe",
            "file:///",
        ),
        "s3://bucket/private/photos",
    ],
)
def test_elsewhere(url):
    with pytest.raises(NotAllowedError):
        allowed(url)


def test_nothing_is_allowed_by_default():
    with pytest.raises(NotAllowedError):
        allowed("s3://bucket/photos", ())


def test_links_that_lead_out_are_not_allowed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "in-private"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "x").write_bytes(b"secret")
    (inside / "out").symlink_to(outside)
    (inside / "fine").symlink_to("sub")
    (tmp_path / "also").symlink_to(inside)
    prefixes = [f"file://{inside}"]
    for url in (f"file://{inside}/out", f"file://{inside}/out/deeper", f"file://{outside}"):
        with pytest.raises(NotAllowedError):
            allowed(url, prefixes)
    allowed(f"file://{inside}/fine", prefixes)
    allowed(f"file://{inside}/not/yet/there", prefixes)
    allowed(f"file://{tmp_path}/also/sub", [f"file://{tmp_path}/also"])

    area = allowed(f"file://{inside}/sub", prefixes)  # and then somebody replaces the folder
    (inside / "sub").rmdir()
    (inside / "sub").symlink_to(outside)
    with pytest.raises(StorageError, match="leads out"):
        asyncio.run(area.get("x", 10))


def test_prefixes_of_the_operator_are_checked():
    assert checked_prefix("s3://bucket/photos") == "s3://bucket/photos"
    with pytest.raises(ValueError, match="file:///folder"):
        checked_prefix("/data/in")


def test_what_a_job_reads_later_stays_within_what_is_allowed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "private"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "x").write_bytes(b"secret")
    url = f"file://{inside}/sub"
    artifacts = open_area(f"file://{tmp_path}/artifacts")
    area = Places(artifacts, 100, (f"file://{inside}",)).area(url)
    asyncio.run(area.put("x", b"x"))
    assert asyncio.run(area.get("x", 9)) == b"x"
    (inside / "sub" / "x").unlink()
    (inside / "sub").rmdir()
    (inside / "sub").symlink_to(outside)
    later = Places(artifacts, 100, (f"file://{inside}",)).area(url)  # as another worker opens it
    with pytest.raises(StorageError, match="leads out"):
        asyncio.run(later.get("x", 9))
    with pytest.raises(StorageError, match="not below"):
        Places(artifacts, 100, (), (f"file://{inside}",)).area(url)
