"""Snapshots as people really make them: every layout, encoding and damage that still leaves something to read."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from healing.diagnosis.collect.files import read_snapshot
from healing.diagnosis.collect.log_files import MAX_LOG_BYTES, sampled
from healing.diagnosis.reasoner import diagnose
from healing.diagnosis.snapshot import LogKey, Snapshot
from tests.diagnosis import recorded

ITEMS = recorded.objects("oomkilled")
POD = next(i for i in ITEMS if i["kind"] == "Pod")
NAMESPACE, NAME = POD["metadata"]["namespace"], POD["metadata"]["name"]


def cause(snapshot: Snapshot) -> str:
    best = diagnose(snapshot).best
    return best.cause if best is not None else ""


def a_list() -> dict[str, Any]:
    return {"kind": "List", "apiVersion": "v1", "items": ITEMS}


def _one_after_another(path: Path) -> None:
    (path / "all.json").write_text("\n".join(json.dumps(item, indent=1) for item in ITEMS))


def _a_line_each(path: Path) -> None:
    (path / "all.ndjson").write_text("\n".join(json.dumps(item) for item in ITEMS))


def _from_a_windows_shell(path: Path) -> None:
    (path / "all.json").write_bytes(json.dumps(a_list()).encode("utf-16"))


def _json_in_yaml(path: Path) -> None:
    (path / "all.yaml").write_text(json.dumps(a_list()))


def _zipped_files(path: Path) -> None:
    (path / "all.json.gz").write_bytes(gzip.compress(json.dumps(a_list()).encode()))


def _cut_json(path: Path) -> None:
    (path / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*ITEMS, ITEMS[0]]})[:-900])


def _cut_yaml(path: Path) -> None:
    text = yaml.safe_dump(a_list())
    (path / "all.yaml").write_text(text + "- apiVersion: v1\n  kind: Pod\n  metadata: {name: [")


def _deep_folders(path: Path) -> None:
    for number, item in enumerate(ITEMS):
        folder = path / "must-gather" / "namespaces" / item["kind"].lower()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(item))


@pytest.mark.parametrize(
    "write",
    [
        _one_after_another,
        _a_line_each,
        _from_a_windows_shell,
        _json_in_yaml,
        _zipped_files,
        _cut_json,
        _cut_yaml,
        _deep_folders,
    ],
)
def test_layouts(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    snapshot = read_snapshot(tmp_path)
    assert cause(snapshot) == "MemoryLimitTooLow"
    assert any(name.startswith("file ") for name in snapshot.missing) is write.__name__.startswith("_cut")


def test_a_zip_and_a_cut_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("a/all.json", json.dumps(a_list()))
    assert cause(read_snapshot(tmp_path / "s.zip")) == "MemoryLimitTooLow"
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=0) as tar:
        for name, data in (("all.json", json.dumps(a_list()).encode()), ("more.json", b'{"a": 1}' * 90_000)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "cut.tar.gz").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    snapshot = read_snapshot(tmp_path / "cut.tar.gz")
    assert cause(snapshot) == "MemoryLimitTooLow"
    assert any("cut.tar.gz" in name or "more.json" in name for name in snapshot.missing)


@pytest.mark.parametrize(
    "path",
    [
        f"logs/{NAMESPACE}/{NAME}/cache.log",
        f"deep/logs/{NAMESPACE}/{NAME}/cache.previous.log",
        f"namespaces/{NAMESPACE}/pods/{NAME}/cache/cache/logs/current.log",
        f"var/log/pods/{NAMESPACE}_{NAME}_0e7c/cache/0.log",
        f"{NAME}.log",
        f"{NAME}-cache.log",
        f"{NAMESPACE}_{NAME}_cache.txt",
        f"{NAMESPACE}/{NAME}.log",
    ],
)
def test_whose_a_log_is(tmp_path: Path, path: str) -> None:
    (tmp_path / "all.json").write_text(json.dumps(a_list()))
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("out of luck\n")
    snapshot = read_snapshot(tmp_path)
    assert snapshot.logs == {LogKey(NAMESPACE, NAME, "cache", "previous" in path): "out of luck\n"}


def test_of_a_large_log_head_tail_and_errors_are_read_quickly() -> None:
    line = b"2026-05-04T10:00:00Z INFO request served in 12 ms by the usual program on the usual node\n"
    block = line * 10_000
    parts = [
        b"FIRST LINE\n",
        *([block] * 50),
        b"2026-05-04T10:00:00Z ERROR in the middle of it all\n",
        *([block] * 60),
        b"LAST\n",
    ]
    data = b"".join(parts)
    assert len(data) > 90_000_000
    started = time.process_time()
    text = sampled(io.BytesIO(data))
    assert time.process_time() - started < 1.5
    assert len(text) <= MAX_LOG_BYTES * 1.1
    assert text.startswith("FIRST LINE\n")
    assert "in the middle of it all" in text
    assert text.endswith("LAST\n")


def test_tables_of_numbers_and_odd_series(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(a_list()))
    (tmp_path / "data.csv").write_text("time,cart_cpu,cart_latency-50\n1,0.5,\n2,x,3\n3,0.7,4\n")
    odd = [{"metric": {"__name__": "a"}, "values": [[1, "2"], [2], "x", [3, "NaN"]]}, {"metric": {}, "values": 3}, 7]
    (tmp_path / "metrics.json").write_text(json.dumps({"status": "success", "data": {"result": odd}}))
    (tmp_path / "active.json").write_text(json.dumps([{"labels": {"alertname": "X"}, "state": "firing"}]))
    snapshot = read_snapshot(tmp_path)
    assert {s.labels["__name__"]: len(s.points) for s in snapshot.series} == {
        "cart_cpu": 2,
        "cart_latency-50": 2,
        "a": 2,
    }
    assert len(snapshot.alerts) == 1
