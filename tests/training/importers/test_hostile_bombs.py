"""Files that are small, and would take much memory or time."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

from tests.training.importers.hostile_pickles import (
    MODULE_STATE,
    archive,
    call,
    integer,
    items,
    name,
    nested,
    old_storage,
    pickled,
    raw,
    row,
    safetensors,
    text,
    write,
)

BOMBS = """
import resource, sys, time
from pathlib import Path
from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.reading import read_weights

def kilobytes(field):
    return int(next(l for l in open("/proc/self/status") if l.startswith(field)).split()[1])

resource.setrlimit(resource.RLIMIT_AS, (kilobytes("VmSize") * 1024 + 512 * 2**20,) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    began = time.process_time()
    try:
        read_weights(path)
        outcome = "read"
    except (UnreadableWeightsError, UnsupportedWeightsError) as error:
        outcome = "exhausted" if "more memory than there is" in str(error) else "refused"
    print(path.name, outcome, f"{time.process_time() - began:.2f}", flush=True)
"""


def bombs() -> dict[str, bytes]:
    modules = b"](" + b"h\0" * 1000 + b"e"
    big_list = b"](" + b"N" * 100_000 + b"eq\0"
    big_dict = b"}(" + b"".join(text(f"{n:x}") + b"N" for n in range(50_000)) + b"uq\0"
    big_state = MODULE_STATE + b"(" + b"".join(text(f"{n:x}") + b"N" for n in range(50_000)) + b"uq\0"
    meta = b"}(" + text("type") + text("class") + text("class_name") + text("G") + text("state") + b"h\0uq\1"
    reconstruct = name("torch_utils.persistence", "_reconstruct_persistent_obj") + b"q\2"
    megabytes = raw(bytes(4 * 2**20)) + b"q\0"
    array = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), items(b"K\0"), b"N")
    dtype = call(name("numpy", "dtype"), text("u1"), b"\x89", b"\x88") + b"q\1"
    block = nested(
        row(pickled(old_storage(2**20)), b"]" + text("a") + b"a", struct.pack("<q", 2**20) + bytes(2**22))
    )
    row_bytes = block[block.index(b"(B") + 1 : -2]
    one = name("torch._utils", "_rebuild_tensor") + b"(h\1h\0\x85RK\0K\1\x85K\1\x85tR"
    return {
        "memo": pickled(b"Nr\xff\xff\xff\xff"),
        "memo-line": pickled(b"Np99999999999999999999\n"),
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
        "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
        "long": b"\x80\x04\x8b" + struct.pack("<I", 2**31) + bytes(100) + b".",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.",
        "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
        "dictionaries": pickled(b"(" + b"}" * 500_000 + b"l"),
        "marks": pickled(b"(" * 400_000 + b"t" * 400_000),
        "update": pickled(big_dict + b"0](" + (name("argparse", "Namespace") + b")\x81h\0b") * 20_000 + b"e"),
        "copies": pickled(
            big_list + b"0" + name("torch", "Size") + b"q\1" + b"0](" + b"h\1h\0\x85R" * 100_000 + b"e"
        ),
        "states": pickled(
            big_state + b"0" + meta + b"0" + reconstruct + b"0](" + b"h\2h\1\x85R" * 100_000 + b"e"
        ),
        "modules": pickled(big_state + b"0" + meta + b"0" + reconstruct + b"h\1\x85Rq\0" + modules),
        "blocks": pickled(
            row_bytes + b"q\0" + name("torch.storage", "_load_from_bytes") + b"q\1](" + b"" + one * 200 + b"e"
        ),
        "arrays": pickled(
            megabytes
            + dtype
            + b"]("
            + (array + items(b"K\1", items(integer(2**22)), b"h\1", b"\x89", b"h\0") + b"b") * 500
            + b"e"
        ),
        "safetensors": safetensors('{"a": [' + "[],".join(["0,"] * 100_000) + "0]}"),
        "header": safetensors('{"a": "' + "x" * 5 * 2**20 + '"}'),
        "entries": archive(pickled(b"}"), {str(n): b"" for n in range(5_000)}),
        "ncnn.param": b"7767517\n1 1\nInput x 0 " + b"9" * 10**6 + b"\n",
        "ncnn.bin": b"0000",
    }


def test_no_bomb_takes_much_memory_or_time(tmp_path: Path):
    for label, content in bombs().items():
        write(tmp_path / label, content)
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path)], capture_output=True, text=True, timeout=240, check=True
    )
    rows = (line.split() for line in done.stdout.splitlines())
    outcomes = {label: (outcome, float(seconds)) for label, outcome, seconds in rows}
    assert set(outcomes) == set(bombs())
    harmless = {"dictionaries", "entries", "memo"}
    for label, (outcome, seconds) in outcomes.items():
        assert outcome == ("read" if label in harmless else "refused"), label
        assert seconds < 10, label
