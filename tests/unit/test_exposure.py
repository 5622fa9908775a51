from pathlib import Path

import pytest
from pydantic import ValidationError

from service.exposure import answered_hosts, is_loopback, startup_problem
from service.keys import create_key
from service.settings import Settings
from service.telemetry.redaction import redacted

SECRET = "gsk_0123456789ab_" + "Ab-_" * 10 + "xyz"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]", "127.1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    assert startup_problem(Settings(host=host)) is None


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "0", "192.0.2.1", "::ffff:192.0.2.1", "no.such.invalid"]
)
def test_beyond_loopback(host: str, tmp_path: Path) -> None:
    assert not is_loopback(host)
    problem = startup_problem(Settings(host=host))
    assert problem is not None
    assert "GANSERVE_KEYS_FILE" in problem
    assert "GANSERVE_ALLOW_OPEN=yes-serve-anyone" in problem
    assert startup_problem(Settings(host=host, allow_open="yes-serve-anyone")) is None
    create_key(tmp_path / "keys.json", "web", ["generate"])
    assert startup_problem(Settings(host=host, keys_file=tmp_path / "keys.json")) is None


@pytest.mark.parametrize("words", ["yes", "1", "true"])
def test_words_it_must_be(words: str) -> None:
    with pytest.raises(ValidationError):
        Settings(allow_open=words)


def test_a_keys_file_that_is_not_there(tmp_path: Path) -> None:
    problem = startup_problem(Settings(keys_file=tmp_path / "keys.json"))
    assert problem is not None
    assert "No such file" in problem
    assert "ganserve keys create" in problem


def test_hosts(tmp_path: Path) -> None:
    assert "localhost" in answered_hosts(Settings())
    assert answered_hosts(Settings(host="0.0.0.0", allow_open="yes-serve-anyone")) == ("*",)
    assert answered_hosts(Settings(keys_file=tmp_path / "keys.json")) == ("*",)
    assert answered_hosts(Settings(allowed_hosts=("api.example.com",))) == ("api.example.com",)


def test_lists_are_written_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (
        "https://a.example, http://b.example:8080",
        '["https://a.example", "http://b.example:8080"]',
    ):
        monkeypatch.setenv("GANSERVE_CORS_ORIGINS", text)
        assert Settings().cors_origins == ("https://a.example", "http://b.example:8080")


@pytest.mark.parametrize(
    "origin", ["a.example", "https://a.example/", "https://*.example", "null", "ftp://a"]
)
def test_what_is_no_origin(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSERVE_CORS_ORIGINS", origin)
    with pytest.raises(ValidationError, match="as browsers send it"):
        Settings()


def test_secrets_are_cut_out_of_lines() -> None:
    for line in (f'{{"path": "/v1/{SECRET}"}}', f"{SECRET}{SECRET}", f"a {SECRET[:30]} b"):
        assert SECRET[17:30] not in redacted(line)
        assert "gsk_0123456789ab_…" in redacted(line)
    assert redacted("redis://user:pass-word@host:1/0 and") == "redis://user:…@host:1/0 and"
    url = "postgresql+psycopg://user:pass-word@host/db"
    assert redacted(f"{url}?a=b") == "postgresql+psycopg://user:…@host/db?a=b"
    assert redacted("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.") == "signed with whsec_…."
    assert redacted("nothing in gsk_ here") == "nothing in gsk_ here"
    assert "pass-word" not in repr(Settings(rate_limit_storage="redis://:pass-word@host"))
