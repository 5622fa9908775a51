from __future__ import annotations

import json
import pickle
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.training.importers.hostile_pickles import (
    CONTAINERS,
    MODULE_STATE,
    archive,
    call,
    hidden,
    integer,
    items,
    name,
    nested,
    old_storage,
    pickled,
    refusal,
    row,
    safetensors,
    storage,
    tensor,
    text,
    write,
)
from tests.training.importers.weight_files import write_nvidia
from training.importers.files.reading import read_weights

SYSTEM = name("os", "system")


# Payloads: each would, under Python's own reader, run the command, or set about doing so.
PAYLOADS: dict[str, Callable[[bytes], bytes]] = {
    "os.system": lambda c: call(SYSTEM, c),
    "posix.system": lambda c: call(name("posix", "system"), c),
    "subprocess.Popen": lambda c: call(name("subprocess", "Popen"), c, b"I0\n", b"NNNNN", b"\x88"),
    "builtins.eval": lambda c: call(name("builtins", "eval"), c),
    "builtins.exec": lambda c: call(name("__builtin__", "exec"), c),
    "builtins.__import__": lambda c: call(name("builtins", "__import__"), text("os")),
    "builtins.getattr": lambda c: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("system")), c
    ),
    "operator.attrgetter": lambda c: call(call(name("operator", "attrgetter"), text("system")), SYSTEM),
    "functools.partial": lambda c: call(name("functools", "partial"), SYSTEM, c) + b")R",
    "torch.load": lambda c: call(name("torch", "load"), c),
    "torch.hub.load": lambda c: call(name("torch.hub", "load"), c),
    "torch.serialization.load": lambda c: call(name("torch.serialization", "load"), c),
    "numpy.load": lambda c: call(name("numpy", "load"), c),
    "runpy._run_code": lambda c: call(name("runpy", "_run_code"), c, b"}"),
    "name with dots": lambda c: call(b"\x8c\x02os" + b"\x8c\x0bpath.system\x93", c),
    "stack global of memoised text": lambda c: (
        text("os") + b"q\x00" + b"0" + text("system") + b"q\x01" + b"0" + b"h\x00h\x01\x93" + items(c) + b"R"
    ),
    "nested reduce": lambda c: call(name("collections", "OrderedDict"), b"](" + call(SYSTEM, c) + b"e"),
    "inside a tensor": lambda c: call(
        name("torch._utils", "_rebuild_tensor_v2"), call(SYSTEM, c), b"K\0", b")", b")", b"\x89", b"}"
    ),
    "as what rebuilds a tensor": lambda c: call(
        name("torch._tensor", "_rebuild_from_type_v2"), SYSTEM, name("torch", "Tensor"), items(c), b"}"
    ),
    "as a factory": lambda c: call(name("collections", "defaultdict"), SYSTEM) + c + b"0",
    "reconstructor": lambda c: (
        call(name("copyreg", "_reconstructor"), SYSTEM, name("builtins", "object"), b"N")
        + b"0"
        + call(SYSTEM, c)
    ),
    "reconstructor of a state": lambda c: call(name("copy_reg", "_reconstructor"), SYSTEM, SYSTEM, c),
    "new object": lambda c: SYSTEM + items(c) + b"\x81",
    "new object with a state": lambda c: SYSTEM + b")\x81}" + text("x") + c + b"sb",
    "new object of names": lambda c: SYSTEM + items(c) + b"}\x92",
    "INST": lambda c: b"(" + c + b"ios\nsystem\n",
    "OBJ": lambda c: b"(" + SYSTEM + c + b"o",
    "extension": lambda c: b"\x82\x01" + items(c) + b"R",
    "setstate of a namespace": lambda c: (
        name("argparse", "Namespace") + b")\x81}" + text("__setstate__") + SYSTEM + b"sb" + c + b"b"
    ),
    "class of a namespace": lambda c: (
        name("argparse", "Namespace") + b")\x81}" + text("__class__") + SYSTEM + b"sb" + items(c) + b"R"
    ),
    "state of a name": lambda c: name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("x") + c + b"sb",
    "state of a module with a reduce": lambda c: (
        name("net", "Generator") + b")\x81" + MODULE_STATE + text("x") + call(SYSTEM, c) + b"sb"
    ),
    "name as a mere value": lambda c: b"}" + text("x") + SYSTEM + b"s",
    "name in a module's attributes": lambda c: (
        name("net", "Generator") + b")\x81" + MODULE_STATE + text("act") + SYSTEM + b"sb"
    ),
    "module called as a function": lambda c: (
        name("net", "Generator") + b"q\x00)\x81" + MODULE_STATE + b"b0h\x00" + items(c) + b"R"
    ),
    "persistent id": lambda c: (
        items(text("storage"), call(SYSTEM, c), text("0"), text("cpu"), b"K\x01") + b"Q"
    ),
    "persistent module": lambda c: items(text("module"), SYSTEM, text("x.py"), c) + b"Q" + items(c) + b"R",
    "persistent text": lambda c: b"Pstorage\n",
    "persistent number": lambda c: b"K\x05Q",
    "out-of-band buffer": lambda c: b"\x97\x98",
    "bytes of a called codec": lambda c: call(name("_codecs", "encode"), c, text("rot13")),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_refused_and_does_not_run(tmp_path: Path, payload: str, container: str):
    ran = tmp_path / "ran"
    command = text(f"touch {ran}" if "exec" not in payload else f"open({str(ran)!r}, 'w')")
    said = refusal(write(tmp_path / "x.pth", hidden(container, PAYLOADS[payload](command))))
    assert not ran.exists()
    # Not that the file is damaged where we made it, but what it would do.
    assert "cut off" not in said


def test_the_payload_would_run_under_pythons_own_reader(tmp_path: Path):
    ran = tmp_path / "ran"
    for payload in ("os.system", "stack global of memoised text", "nested reduce", "INST"):
        with suppress(TypeError):  # What system gives back is of no use to what asked for it.
            pickle.loads(pickled(PAYLOADS[payload](text(f"touch {ran}"))))
        assert ran.exists()
        ran.unlink()


def test_a_refused_name_is_said_and_that_nothing_ran(tmp_path: Path):
    said = refusal(write(tmp_path / "x.pth", hidden("zip", PAYLOADS["os.system"](text("true")))))
    assert "'os.system', which is not on the list" in said
    assert "nothing in it was executed" in said


def test_a_name_cannot_send_sequences_to_the_terminal(tmp_path: Path):
    said = refusal(write(tmp_path / "x", pickled(call(name("\x1b[2J" + "a" * 500, "b")))))
    assert said.isprintable()
    assert len(said) < 400


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_source_code_in_nvidias_pickle_does_not_run(tmp_path: Path, protocol: int):
    ran = tmp_path / "ran"
    source = f"import os; os.system('touch {ran}'); open({str(ran)!r}, 'w')\nclass Generator: pass\n"
    stored = read_weights(write_nvidia(tmp_path / "x.pkl", protocol, source))
    assert stored.content["G_ema"].class_name == "Generator"
    assert not ran.exists()
    assert "torch_utils" not in sys.modules


@pytest.mark.parametrize(
    "meta",
    [
        b"N",
        b"}",
        b"}" + text("type") + text("function") + b"s",
        b"}" + text("type") + text("class") + b"s" + text("class_name") + SYSTEM + b"s",
        b"}" + text("type") + text("class") + b"s" + text("class_name") + text("G") + b"s",
    ],
)
def test_modules_of_nvidia_that_say_nothing_are_refused(tmp_path: Path, meta: bytes):
    refusal(
        write(
            tmp_path / "x",
            pickled(call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)),
        )
    )


# Tensors that claim more than there is.

CLAIMS = {
    "elements": tensor(storage("0", 4), (10**12,), (1,)),
    "expanded": tensor(storage("0", 4), (10**6, 10**6), (0, 0)),
    "expanded a little": tensor(storage("0", 4), (5,), (0,)),
    "stride": tensor(storage("0", 4), (2,), (2**40,)),
    "offset": tensor(storage("0", 4), (1,), (1,), 4),
    "huge offset": tensor(storage("0", 4), (1,), (1,), 2**61),
    "negative offset": tensor(storage("0", 4), (1,), (1,), -1),
    "negative stride": tensor(storage("0", 4), (2,), (-1,), 1),
    "negative size": tensor(storage("0", 4), (-1,), (1,)),
    "overflowing size": tensor(storage("0", 4), (2**33, 2**33), (0, 0)),
    "empty, but endless": tensor(storage("0", 4), (0, 2**62), (1, 1)),
    "empty, but wide": tensor(storage("0", 4), (0, 2**20), (1, 1)),
    "ranks": tensor(storage("0", 4), (1,) * 40, (1,) * 40),
    "other rank": tensor(storage("0", 4), (1, 1), (1,)),
    "storage": tensor(storage("0", 2**40), (1,), (1,)),
    "smaller storage": tensor(storage("0", 3), (1,), (1,)),
    "missing storage": tensor(storage("7", 4), (1,), (1,)),
    "storage elsewhere": tensor(storage("../data/0", 4), (1,), (1,)),
    "double storage": tensor(storage("0", 4, "DoubleStorage"), (1,), (1,)),
    "quantised": tensor(storage("0", 16, "QInt8Storage"), (1,), (1,)),
    "storage of no type": items(text("storage"), text("Float"), text("0"), text("cpu"), b"K\x04") + b"Q",
    "storage of no count": items(
        text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), text("4")
    ) + b"Q",
    "size that is text": call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage("0", 4), b"K\0", text("44"), text("11"), b"\x89", b"}",
    ),
    "tensor of a dictionary": tensor(b"}", (1,), (1,)),
    "bytes as floats": call(
        name("torch._utils", "_rebuild_tensor_v3"),
        items(text("storage"), name("torch", "UntypedStorage"), text("0"), text("cpu"), b"K\x10") + b"Q",
        b"K\0", items(b"K\x05"), items(b"K\x01"), b"\x89", b"}", name("torch", "float32"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_tensor_cannot_claim_more_than_is_in_the_file(tmp_path: Path, claim: str):
    said = refusal(write(tmp_path / "x", archive(pickled(CLAIMS[claim]), {"0": bytes(16)})))
    if claim in ("elements", "expanded", "stride", "offset", "huge offset"):
        assert "in a storage of 4" in said
    if claim in ("storage", "smaller storage", "missing storage", "storage elsewhere"):
        assert "has a storage that claims" in said


def test_a_tensor_may_be_a_view_of_its_storage(tmp_path: Path):
    body = tensor(storage("0", 4), (2, 2), (1, 2))
    found = read_weights(write(tmp_path / "x", archive(pickled(body), {"0": struct.pack("<4f", 1, 2, 3, 4)})))
    assert found.content.tolist() == [[1, 3], [2, 4]]


def test_bytes_that_are_no_bools_become_some(tmp_path: Path):
    body = tensor(storage("0", 4, "BoolStorage"), (2,), (2,), 1)
    found = read_weights(write(tmp_path / "x", archive(pickled(body), {"0": bytes([9, 0, 9, 255])}))).content
    assert found.dtype is torch.bool
    assert found.to(torch.uint8).tolist() == [0, 1]


def test_nothing_may_stand_behind_a_pickle(tmp_path: Path):
    for content in (pickled(b"}") + b"}.", archive(pickled(b"}") + b"}."), row(pickled(b"}"), behind=b"\0")):
        assert "something behind" in refusal(write(tmp_path / "x", content))


def test_many_tensors_cannot_claim_a_storage_again_and_again(tmp_path: Path):
    count = 2**18
    body = storage("0", count) + b"q\x000](" + tensor(b"h\x00", (count,), (1,)) * 200 + b"e"
    assert "more than 4 times" in refusal(
        write(tmp_path / "x", archive(pickled(body), {"0": bytes(4 * count)}))
    )


@pytest.mark.parametrize(
    ("body", "keys", "behind"),
    [
        (old_storage(4), b"]" + text("a") + b"a", struct.pack("<q", 2**40) + bytes(16)),
        (old_storage(2**40), b"]" + text("a") + b"a", struct.pack("<q", 2**40) + bytes(16)),
        (old_storage(4), b"]" + text("a") + b"a", struct.pack("<q", 4) + bytes(15)),
        (old_storage(4), b"]" + text("a") + b"a", struct.pack("<q", 4) + bytes(17)),
        (old_storage(4), b"]" + text("b") + b"a", struct.pack("<q", 4) + bytes(16)),
        (old_storage(4), b"]", b""),
        (old_storage(4), b"](" + text("a") * 2 + b"e", (struct.pack("<q", 4) + bytes(16)) * 2),
        (old_storage(4), b"](]q\0(" + b"h\0" * 9 + b"ee", b""),
        (
            old_storage(4, items(text("v"), b"K\3", b"K\2")),
            b"]" + text("a") + b"a",
            struct.pack("<q", 4) + bytes(16),
        ),
        (items(old_storage(4), old_storage(5)), b"]" + text("a") + b"a", struct.pack("<q", 4) + bytes(16)),
    ],
)
def test_storages_of_the_older_format_have_to_be_there(
    tmp_path: Path, body: bytes, keys: bytes, behind: bytes
):
    refusal(write(tmp_path / "x", row(pickled(body), keys, behind)))


def test_a_nested_file_holds_a_storage_and_no_further_file(tmp_path: Path):
    assert "a storage that is none" in refusal(write(tmp_path / "x", pickled(nested(row(pickled(b"}"))))))
    deeper = pickled(nested(row(pickled(nested(row(pickled(b"}")))))))
    assert "'torch.storage._load_from_bytes', which is not on the list" in refusal(
        write(tmp_path / "y", deeper)
    )


# Structures that are small in the file alone.


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"]q\0h\0a", "refers to itself"),
        (b"}q\0" + text("a") + b"h\0s", "refers to itself"),
        (b"]" * 200 + b"a" * 199, "levels deep"),
        (
            b"]q\0" + b"0](" + b"h\0" * 10 + b"eq\0" + (b"0](" + b"h\0" * 10 + b"eq\0") * 20,
            "when written out",
        ),
        (b")" + b"\x85" * 150_000, "levels deep"),
        (b"}" + b")" + b"\x85" * 150_000 + b"Ns", "makes no sense"),
        (
            call(name("numpy", "dtype"), b")" + b"\x85" * 150_000, b"\x89", b"\x88"),
            "array of NumPy's something",
        ),
        (b"0", "makes no sense"),
        (b"(", "makes no sense"),
        (b"h\5", "makes no sense"),
        (b"N" * 1_000_001, "steps"),
        (
            b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(10_001)) + b"u",
            "keys of dictionaries",
        ),
        (b"}" + integer(2**70) + b"Ns", "makes no sense"),
        (
            text("a" * 2**20) + b"q\0" + call(name("_codecs", "encode"), b"h\0", text("latin1")) * 70,
            "bytes of text",
        ),
    ],
)
def test_structures_without_an_end_are_refused(tmp_path: Path, body: bytes, said: str):
    assert said in refusal(write(tmp_path / "x", pickled(body)))


def test_names_that_are_no_modules_after_all_are_refused(tmp_path: Path):
    assert "'net.Generator', which is not on the list" in refusal(
        write(tmp_path / "x", pickled(name("net", "Generator") + b")\x81"))
    )


@pytest.mark.parametrize("key", ["\x1b[2Jconv.weight", "a" * 501, "a\nb"])
def test_tensors_and_modules_have_names_that_can_be_shown(tmp_path: Path, key: str):
    content = b"}" + text(key) + tensor(storage("0", 4), (4,), (1,)) + b"s"
    said = refusal(write(tmp_path / "x", archive(pickled(content), {"0": bytes(16)})))
    assert "which is none" in said
    assert said.isprintable()
    state = b"}" + text("_parameters") + b"}s" + text("_buffers") + b"}s"
    state += text("_modules") + b"}" + text(key) + name("net", "Inner") + b")\x81" + MODULE_STATE + b"bss"
    module = name("net", "Generator") + b")\x81" + state + b"b"
    assert "which is none" in refusal(write(tmp_path / "x", pickled(module)))
    header = json.dumps({key: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})
    assert "which is none" in refusal(write(tmp_path / "x", safetensors(header)))


def test_a_module_within_itself_is_refused(tmp_path: Path):
    state = b"}" + text("_parameters") + b"}s" + text("_buffers") + b"}s"
    state += text("_modules") + b"}" + text("again") + b"h\0ss"
    body = name("net", "Generator") + b")\x81q\0" + state + b"b"
    assert "refers to itself" in refusal(write(tmp_path / "x", pickled(body)))
