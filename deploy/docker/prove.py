"""Proves the images without a container engine: carries out the Dockerfile's steps, and runs the outcome.

Usage: make prove-images (Linux, as root, with debootstrap; network for the steps that fetch something)

Each stage is built in a chroot, from the instructions as they are in the Dockerfile. Base images cannot be
fetched this way: Debian's own files and Python stand in for `python:3.11-slim-bookworm`. What was built is
run as an engine runs it: own processes, own mounts, no network but loopback, a read-only root, the image's
user, no capabilities.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from deploy.docker import dockerfile, namespaces  # noqa: E402 - run as a script, it has to find its package first
from deploy.docker.building import Builder, BuildError, Image  # noqa: E402
from deploy.docker.containers import Container  # noqa: E402

_GATEWAY, _WORKER = "http://127.0.0.1:8080", "http://127.0.0.1:8081"
_NEVER = ("gcc", "cc", "g++", "make", "ld", "git", "curl", "pip", "pip3")
_JOB = {"operation": "generate", "model": "terrain", "seeds": {"first": 0, "count": 3}}


class ProofError(Exception):
    """Something is not as it should be."""


def expect(true: object, what: str, detail: object = "") -> None:
    """Prints what holds.

    Raises:
        ProofError: It does not.
    """
    if not true:
        raise ProofError(f"{what}: {detail}")
    print(f"    ok  {what}", flush=True)


def ask(url: str, body: object = None, accept: str = "application/json") -> tuple[int, bytes]:
    """One HTTP call; status 0 if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - of our own servers
        url, data, {"content-type": "application/json", "accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for something to hold.

    Raises:
        ProofError: It does not in that time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ProofError(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
    expect(True, what)


def prove_files(name: str, image: Image, folder: Path, *, without: tuple[str, ...]) -> None:
    """What is in an image, and what is not."""
    root = folder / f"{name}.files"
    namespaces.overlay(image.layers, root)
    try:
        packages = [
            path.parent.name for path in root.glob("opt/ganserve/lib/python3*/site-packages/*/__init__.py")
        ]
        expect("service" in packages, f"{name}: the wheel of ganserve is installed, not linked", packages)
        site = next(root.glob("opt/ganserve/lib/python3*/site-packages"))
        expect(not list(site.glob("__editable__*")), f"{name}: no editable installation")
        for package in without:
            expect(package not in packages, f"{name}: no {package}")
        programs = [
            p
            for p in _NEVER
            for b in ("bin", "usr/bin", "usr/local/bin", "opt/ganserve/bin")
            if (root / b / p).exists()
        ]
        programs = [program for program in programs if not (name == "trainer" and program.startswith("pip"))]
        expect(not programs, f"{name}: no compiler, pip, git or curl", programs)
        caches = [c for c in ("root/.cache", "tmp/pip", "build", "wheels", "src") if (root / c).exists()]
        expect(not caches, f"{name}: no cache of pip, no sources, no wheels", caches)
        sources, compiled = (len(list(site.rglob(p))) for p in ("service/*.py", "service/__pycache__/*.pyc"))
        expect(compiled >= sources > 0, f"{name}: bytecode is there", f"{compiled} of {sources}")
        writable = subprocess.run(
            [
                "find",
                root,
                "-path",
                root / "dev",
                "-prune",
                "-o",
                "(",
                "-user",
                "10001",
                "-o",
                "-perm",
                "-o+w",
                ")",
                "-not",
                "-type",
                "l",
                "-print",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        allowed = {
            "tmp",
            "var/tmp",
            "run/lock",
            "var/lib/ganserve",
            "data",
            "runs",
            "model_repository",
            "var/lock",
        }
        others = {w for w in writable if str(Path(w).relative_to(root)) not in allowed}
        expect(not others, f"{name}: the account may write to nothing but its folders", sorted(others)[:5])
    finally:
        namespaces.run("umount", root)
    megabytes = f"{image.size() / 1e6:.0f} MB added to {image.base_size() / 1e6:.0f} MB of the stand-in"
    print(f"    --  {name}: {megabytes}", flush=True)


def prove_bill(image: Image) -> None:
    """The bill of materials names what is installed, and its licences."""
    bill = json.loads((image.layers[0] / "gateway.cdx.json").read_text())
    licences = {part["name"].lower(): part.get("licenses") for part in bill["components"]}
    expect({"fastapi", "dbos", "grpcio"} <= licences.keys(), f"sbom: {len(licences)} packages of the gateway")
    known = sum(bool(each) for each in licences.values())
    expect(known >= 0.9 * len(licences), f"sbom: licences of {known} of them")


def prove_privileges(container: Container) -> None:
    """Who it runs as, and where it cannot write."""
    status = dict(line.split(":\t", 1) for line in container.status().splitlines() if ":\t" in line)
    user = status["Uid"].split()[0]
    expect(user == "10001", f"{container.name}: process 1 is of user 10001", user)
    expect(
        int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1", f"{container.name}: no capabilities"
    )
    for place in ("/opt/ganserve/x", "/etc/x", "/x", "/models/x"):
        code, output = container.execute("python", "-c", f"open({place!r}, 'w')")
        expect(
            code and ("Read-only" in output or "No such file" in output),
            f"{container.name}: {place} is read-only",
            output,
        )


def prove_serving(images: dict[str, Image], folder: Path) -> None:
    """Triton, gateway and worker together: health checks, an image, a job, orderly stops."""
    state, made = folder / "state", folder / "made"
    for place in (state, made):
        place.mkdir()
    namespaces.run("chown", "10001:10001", state)
    volumes = {"/var/lib/ganserve": state}
    opened = {"GANSERVE_ALLOW_OPEN": "yes-serve-anyone", "GANSERVE_DRAIN_SECONDS": "0"}

    def start(name: str, image: str, *command: str, **options: Any) -> Container:
        container = Container(name, images[image], folder, command=command or None, **options)
        running.append(container)
        return container

    running: list[Container] = []
    try:
        triton = start("triton-cpu", "triton-cpu", shared_memory="256m")
        closed = start("closed", "gateway", volumes=volumes)
        expect(
            closed.wait(60) != 0 and "GANSERVE_ALLOW_OPEN" in closed.log(),
            "gateway: without keys it does not start",
        )
        helped = start("help", "gateway", "gateway", "--help")
        expect(
            helped.wait(60) == 0 and "Usage: ganserve gateway" in helped.log(),
            "gateway: ganserve gateway --help",
        )
        migrated = start("migrate", "gateway", "migrate", volumes=volumes)
        expect(migrated.wait(120) == 0, "gateway: ganserve migrate", migrated.log())
        triton.until_healthy(300)
        expect(True, "triton-cpu: its health check succeeds")
        prove_privileges(triton)

        gateway = start("gateway", "gateway", environment=opened, volumes=volumes)
        gateway.until_healthy(60)
        expect(True, "gateway: its health check succeeds")
        prove_privileges(gateway)
        until(
            lambda: ask(f"{_GATEWAY}/readyz")[0] == 200,
            120,
            "gateway: ready before the Triton of the other image",
        )
        status, body = ask(f"{_GATEWAY}/v1/models/terrain/images/7.png")
        expect(
            status == 200 and body.startswith(b"\x89PNG"),
            "gateway: an image of terrain",
            (status, body[:300]),
        )
        for seed in range(24):
            (made / f"{seed}.png").write_bytes(ask(f"{_GATEWAY}/v1/models/terrain/images/{seed}.png")[1])
        frames = {"model": "terrain", "keyframes": [1, 2], "frames": 4, "format": "mp4"}
        status, body = ask(f"{_GATEWAY}/v1/interpolate", frames, accept="video/mp4")
        expect(status == 200 and body[4:8] == b"ftyp", "gateway: an MP4", (status, body[:300]))

        worker = start("worker", "gateway", "worker", environment=opened, volumes=volumes)
        until(lambda: ask(f"{_WORKER}/readyz")[0] == 200, 60, "worker: ready")
        code, output = worker.execute("ganserve", "health", "worker", "--ready")
        expect(code == 0, "worker: ganserve health worker --ready", output)
        status, body = ask(f"{_GATEWAY}/v1/jobs", _JOB)
        expect(status == 202, "gateway: takes a batch job", (status, body))
        job = f"{_GATEWAY}/v1/jobs/{json.loads(body)['id']}"
        until(lambda: json.loads(ask(job)[1])["state"] == "succeeded", 60, "worker: the job is done")

        used = (
            "import os; s = os.statvfs('/dev/shm'); print((s.f_blocks - s.f_bfree) * s.f_frsize // 1_000_000)"
        )
        _, megabytes = triton.execute("python", "-c", used)
        print(f"    --  triton-cpu: {megabytes.strip()} MB of /dev/shm in use", flush=True)
        for container in (worker, gateway, triton):
            code, seconds = container.stop(60)
            expect(
                code == 0,
                f"{container.name}: its STOPSIGNAL ends it orderly, in {seconds:.1f} s",
                (code, container.log()[-3000:]),
            )
    finally:
        for container in running:
            container.kill()


def prove_training(image: Image, folder: Path) -> None:
    """The trainer: a data set out of images the gateway made, some steps, an export; and torchrun."""
    volumes = {f"/{name}": folder / f"volume-{name}" for name in ("data", "runs", "model_repository")}
    for volume in volumes.values():
        volume.mkdir()
    shutil.copytree(folder / "made", volumes["/data"] / "source")
    namespaces.run("chown", "--recursive", "10001:10001", *volumes.values())

    def run(name: str, seconds: float, *words: str, entrypoint: Sequence[str] | None = None) -> None:
        trainer = Container(
            f"trainer-{name}", image, folder, command=words, volumes=volumes, entrypoint=entrypoint
        )
        try:
            if name == "prepare":
                prove_privileges(trainer)
            expect(trainer.wait(seconds) == 0, f"trainer: {' '.join(words)}", trainer.log()[-3000:])
        finally:
            trainer.kill()

    run("prepare", 300, "prepare", "made", "--from", "/data/source", "--resolution", "64")
    train = ("train", "terrain", "--dataset", "made-64", "--name", "made", "--device", "cpu")
    run("train", 900, *train, "--max-minutes", "0")
    run(
        "torchrun",
        300,
        "--nproc-per-node",
        "2",
        "-m",
        "training",
        *train,
        "--dry-run",
        entrypoint=["torchrun"],
    )
    run("export", 900, "export", "runs/made")
    models = sorted(path.name for path in volumes["/model_repository"].iterdir())
    expect(models == ["made-mapping", "made-synthesis"], "trainer: the export is a model repository", models)


def main() -> int:
    """Proves what the command line names."""
    parser = argparse.ArgumentParser(description="Prove the images without a container engine.")
    parser.add_argument(
        "--trainer", action="store_true", help="build the trainer, too: gigabytes of PyTorch and CUDA"
    )
    parser.add_argument(
        "--mount",
        type=Path,
        action="append",
        default=[],
        help="folder that steps may read, such as a mirror of packages that PIP_EXTRA_INDEX_URL names",
    )
    parser.add_argument(
        "--file", type=Path, default=Path(__file__).with_name("Dockerfile"), help="another one"
    )
    options = parser.parse_args()
    if (
        sys.platform != "linux"
        or subprocess.run(["id", "-u"], capture_output=True, text=True).stdout != "0\n"
    ):
        print("This mounts file systems: it needs Linux, and root.", file=sys.stderr)
        return 2
    names = ["gateway", "triton-cpu", *(["trainer"] if options.trainer else [])]
    namespaces.own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was begun is cleared away
    folder = Path(tempfile.mkdtemp(prefix="ganserve-images-", dir="/var/tmp"))
    namespaces.run("mount", "--bind", folder, folder)  # so that all mounts below it go with it
    try:
        builder = Builder(
            dockerfile.read(options.file),
            ROOT,
            folder,
            ROOT / ".tools" / "images",
            lambda line: print(line, flush=True),
            options.mount,
        )
        images = {name: builder.image(name) for name in names}
        prove_files("gateway", images["gateway"], folder, without=("torch", "pytriton", "onnxruntime"))
        prove_bill(builder.image("sbom"))
        prove_files("triton-cpu", images["triton-cpu"], folder, without=("torch",))
        namespaces.own_network()
        prove_serving(images, folder)
        if options.trainer:
            prove_files("trainer", images["trainer"], folder, without=("pytriton",))
            prove_training(images["trainer"], folder)
    except (BuildError, ProofError, RuntimeError) as error:
        print(f"FAILED  {error}", file=sys.stderr)
        return 1
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", folder], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
    print("The images hold what the Dockerfile says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
