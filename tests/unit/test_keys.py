import hashlib
import hmac
import json
import multiprocessing
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from service import keys
from service.keys import SCOPES, KeysFileError, create_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def entry(**changes: object) -> dict:
    return {"name": "a", "id": "0" * 12, "hash": "sha256:" + "0" * 64, "scopes": ["generate"], **changes}


def test_what_is_kept_of_a_secret(path: Path) -> None:
    secret = create_key(path, "web", ["upscale", "generate"], rate="100/minute", concurrency=8)
    assert secret.startswith("gsk_")
    assert secret[len("gsk_") + 12] == "_"  # the random part may have more of them
    (stored,) = json.loads(path.read_text())["keys"]
    assert stored["hash"] == "sha256:" + hashlib.sha256(secret.encode()).hexdigest()
    assert stored["scopes"] == ["generate", "upscale"]
    assert secret[17:] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_keys(path).find(secret)
    assert key is not None
    assert (key.name, key.rate, key.concurrency, key.expires) == ("web", "100/minute", 8, None)


def test_no_two_secrets_are_alike_and_each_has_256_random_bits(path: Path) -> None:
    secrets = [create_key(path, f"key-{number}", ["generate"]) for number in range(20)]
    randoms = [secret.split("_", 2)[2] for secret in secrets]
    assert len(set(randoms)) == 20
    assert {len(random) for random in randoms} == {43}  # 32 bytes in base64
    found = read_keys(path)
    assert [found.find(secret).name for secret in secrets] == [f"key-{n}" for n in range(20)]


def test_only_the_whole_secret_is_the_key(path: Path) -> None:
    secret = create_key(path, "web", ["generate"])
    other = create_key(path, "other", ["generate"])
    found = read_keys(path)
    mixed = secret[:17] + other[17:]
    changed = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in ("", "gsk_", secret[:-1], secret + "A", secret + "\n", " " + secret, mixed, changed):
        assert found.find(wrong) is None, wrong
    assert found.find(json.loads(path.read_text())["keys"][0]["hash"]) is None


def test_digests_are_compared_in_constant_time_for_ids_known_and_unknown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def spy(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    secret = create_key(path, "web", ["generate"])
    found = read_keys(path)
    monkeypatch.setattr(keys.hmac, "compare_digest", spy)
    wrong = secret[:17] + "A" * 43
    unknown = "gsk_" + "f" * 12 + "_" + "A" * 43
    assert [found.find(text) is not None for text in (secret, wrong, unknown)] == [True, False, False]
    assert compared == [(64, 64)] * 3


def test_expiry(path: Path) -> None:
    moment = datetime(2030, 1, 1, tzinfo=timezone.utc)
    secret = create_key(path, "web", ["jobs"], expires=moment)
    key = read_keys(path).find(secret)
    assert key is not None
    assert not key.has_expired(moment - timedelta(seconds=1))
    assert key.has_expired(moment)


def test_revoked_is_gone_and_the_others_stay(path: Path) -> None:
    gone, stays = (create_key(path, name, [scope]) for name, scope in (("gone", "jobs"), ("stays", "admin")))
    revoke_key(path, "gone")
    assert read_keys(path).find(gone) is None
    assert read_keys(path).find(stays) is not None
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeysFileError, match="no key 'gone'"):
        revoke_key(path, "gone")


def test_a_name_is_given_once(path: Path) -> None:
    create_key(path, "web", ["generate"])
    before = path.read_bytes()
    with pytest.raises(KeysFileError, match="revoke it first"):
        create_key(path, "web", ["admin"])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a b"}, "name"),
        ({"name": "anonymous"}, "without a key"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"rate": "0/minute"}, "1 to 100000"),
        ({"rate": "fast"}, "100/minute"),
        ({"concurrency": 0}, "concurrency"),
        ({"expires": "2030-01-01T00:00:00"}, "expires"),
        ({"hash": "gsk_000000000000_the-secret-itself"}, "hash"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_broken_entry_is_named_and_nothing_in_it_is_quoted(path: Path, changes: dict, said: str) -> None:
    path.write_text(json.dumps({"keys": [entry(**changes)]}))
    with pytest.raises(KeysFileError, match=said) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert "the-secret-itself" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": {}}', "\xff", "[" * 100_000, "null"])
def test_a_broken_file_is_one_sentence(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(KeysFileError):
        read_keys(path)
    with pytest.raises(KeysFileError):
        create_key(path, "web", ["generate"])
    assert path.read_bytes() == text.encode("latin-1")


def test_two_entries_of_one_name_or_id_are_refused(path: Path) -> None:
    for second in ({"id": "1" * 12}, {"name": "b"}):
        path.write_text(json.dumps({"keys": [entry(), entry(**second)]}))
        with pytest.raises(KeysFileError, match="two keys"):
            read_keys(path)


def test_a_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match="No such file"):
        read_keys(tmp_path / "keys.json")
    with pytest.raises(KeysFileError, match="cannot be written"):
        create_key(tmp_path / "nowhere" / "keys.json", "web", ["generate"])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "keys.json")
    create_key(tmp_path / "keys.json", "web", ["generate"])
    create_key(link, "other", ["generate"])
    assert link.is_symlink()
    assert len(read_keys(tmp_path / "keys.json")) == 2


def test_the_owner_stays(path: Path) -> None:
    create_key(path, "web", ["generate"])
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    owner = path.stat().st_uid
    create_key(path, "other", ["generate"])
    assert path.stat().st_uid == owner


def _create(path: Path, number: int) -> None:
    create_key(path, f"key-{number}", [SCOPES[number % len(SCOPES)]])


def test_commands_at_the_same_time_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_create, args=(path, number)) for number in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {key.name for key in read_keys(path)} == {f"key-{number}" for number in range(12)}
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]
