"""A real Prometheus server for one test: the one on PATH, else Debian's package, unpacked into var/tools.

Samples come in by remote write, so they are exactly the ones a test chose: times, float bits, staleness markers.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.ports import free_port

KEPT = PROJECT_DIR / "var" / "tools"
START_SECONDS = 90.0
#: Series with their labels (``__name__`` among them) and samples (milliseconds, value).
Written = Iterable[tuple[Mapping[str, str], Sequence[tuple[int, float]]]]


class Prometheus:
    """Started when made; `stop` ends it. ``scrape``: host:port/path to scrape every second, by job name."""

    def __init__(self, directory: Path, *, scrape: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        jobs = [_job(name, target) for name, target in (scrape or {}).items()]
        configuration = directory / "prometheus.yml"
        configuration.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n" + "".join(jobs))
        command = [str(program()), f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"]
        command += ["--web.enable-remote-write-receiver", "--enable-feature=promql-at-modifier", "--log.level=warn"]
        self._child = Child(Spec("prometheus", command, os.environ, directory, stop_seconds=3.0), directory)
        self.client = httpx.Client(base_url=self.url, timeout=60.0)
        self._wait()

    def stop(self) -> None:
        self.client.close()
        self._child.stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.client.get("/-/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if self._child.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError("Prometheus did not start:\n" + "\n".join(self._child.last_lines))
            time.sleep(0.05)

    def write(self, series: Written) -> None:
        """Store samples; those of one series in order of time."""
        body = b"".join(_field(1, _series(labels, samples)) for labels, samples in series)
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        answer = self.client.post("/api/v1/write", content=_snappy(body), headers=headers)
        assert answer.status_code < 300, answer.text

    def ask(self, path: str, **parameters: str) -> tuple[int, dict[str, Any]]:
        """Status and body of a query (``query`` or ``query_range``)."""
        answer = self.client.post(f"/api/v1/{path}", data=parameters)
        return answer.status_code, answer.json()


def _job(name: str, target: str) -> str:
    address, _, path = target.partition("/")
    where = f"metrics_path: /{path}, static_configs: [{{targets: [{address}]}}]"
    return f"- {{job_name: {name}, honor_labels: true, {where}}}\n"


def program(name: str = "prometheus") -> Path:
    """The program ``prometheus`` or ``promtool``. RuntimeError says what to install when there is none."""
    if on_path := shutil.which(name):
        return Path(on_path)
    if not (KEPT / name).exists():
        _unpack_package()
    return KEPT / name


def _unpack_package() -> None:
    """Unpacked and not installed: no service starts, and no root is needed where apt's lists are there."""
    advice = "Install Prometheus (Debian: apt-get install prometheus) and put it on PATH: the tests need it."
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RuntimeError(f"There is no prometheus on PATH. {advice}")
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        done = _run(["apt-get", "download", "prometheus"], directory)
        if done.returncode != 0 and os.geteuid() == 0:
            _run(["apt-get", "update"], directory)
            done = _run(["apt-get", "download", "prometheus"], directory)
        packages = sorted(Path(directory).glob("prometheus_*.deb"))
        if not packages:
            raise RuntimeError(f"Prometheus could not be downloaded: {done.stderr.strip()}\n{advice}")
        done = _run(["dpkg-deb", "-x", str(packages[0]), "unpacked"], directory)
        for name in ("promtool", "prometheus"):
            found = Path(directory) / "unpacked" / "usr" / "bin" / name
            if not found.exists():
                raise RuntimeError(f"Debian's package holds no {name}: {done.stderr.strip()}\n{advice}")
            found.replace(KEPT / name)  # at once: two test processes may do this side by side


def _run(command: list[str], directory: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


# Remote write: protobuf (WriteRequest) in a snappy block that compresses nothing.


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _series(labels: Mapping[str, str], samples: Sequence[tuple[int, float]]) -> bytes:
    parts = [_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in sorted(labels.items())]
    for time_ms, value in samples:
        parts.append(_field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(time_ms)))
    return b"".join(parts)


def _snappy(body: bytes) -> bytes:
    out = [_varint(len(body))]
    for start in range(0, len(body), 65536):
        piece = body[start : start + 65536]
        out.append(bytes([61 << 2]) + struct.pack("<H", len(piece) - 1) + piece)
    return b"".join(out)
