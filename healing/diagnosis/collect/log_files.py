"""Logs in files: whose they are by any usual layout, and of large ones the parts that tell."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from healing.diagnosis import reading as r
from healing.diagnosis.snapshot import LogKey, Snapshot

#: So much of a log is kept: all of a small one; of a large one its head, its tail and what surrounds errors between.
MAX_LOG_BYTES = 1_000_000
_HEAD_BYTES, _TAIL_BYTES, _BLOCK_BYTES = 64_000, 700_000, 4_000_000
_ERROR_BYTES, _AROUND_BYTES, _ERRORS_A_BLOCK = 200_000, 2_000, 6
_MARKS = (b"FATAL", b"panic:", b"Traceback", b"Exception", b"ERROR", b"level=error", b'"level":"error"')
#: Looking for errors between head and tail ends after so much of a processor's time, for one log and for all: what is
#: found does not depend on what else the machine has to do.
_SECONDS_A_LOG, _SECONDS_IN_ALL = 1.0, 4.0
#: All logs together are not more than this; further ones are kept shorter.
_MOST_BYTES, _SHORT_BYTES = 200_000_000, 60_000
_DUMP_START = re.compile(r"^==== START logs for container (\S+) of pod (\S+)/(\S+) ====$")
_DUMP_END = re.compile(r"^==== END logs for container ")


@dataclass(slots=True)
class LogFiles:
    """Logs as they are met; `assign` says whose they are once all pods are known."""

    _found: list[tuple[PurePosixPath, str]] = field(default_factory=list)
    _bytes: int = 0
    _seconds: float = 0.0

    def take(self, path: PurePosixPath, stream: IO[bytes]) -> None:
        """Read one file, large ones in part."""
        started = time.thread_time()
        most = MAX_LOG_BYTES if self._bytes < _MOST_BYTES else _SHORT_BYTES
        text = sampled(stream, most, seconds=min(_SECONDS_A_LOG, max(0.0, _SECONDS_IN_ALL - self._seconds)))
        self._seconds += time.thread_time() - started
        self._bytes += len(text)
        self._found.append((path, text))

    def assign(self, snapshot: Snapshot) -> int:
        """Put each log to its container; returns how many files belong to no pod of the snapshot."""
        pods: dict[str, list[r.Object]] = {}
        for pod in snapshot.of_kind("Pod"):
            pods.setdefault(r.text(pod, "metadata", "name"), []).append(pod)
        nobodys = 0
        for path, text in self._found:
            if path.name == "logs.txt" and "==== START logs" in text[:20_000]:
                snapshot.logs.update(_dumped(text))
                continue
            key = _documented(path) or _of_a_pod(path, pods)
            if key is None:
                nobodys += 1
            elif text.strip():
                known = snapshot.logs.get(key, "")
                snapshot.logs[key] = f"{known}\n{text}" if known and known != text else text
        return nobodys


def sampled(stream: IO[bytes], most: int = MAX_LOG_BYTES, *, seconds: float = _SECONDS_A_LOG) -> str:
    """The log as text, at most about ``most`` bytes of it."""
    data = stream.read(most + 1)
    if len(data) <= most:
        return data.decode("utf-8", errors="replace")
    deadline = time.thread_time() + seconds
    head, tail = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    keep = min(_TAIL_BYTES, most - _HEAD_BYTES)
    errors: list[bytes] = []
    room = _ERROR_BYTES
    while block := stream.read(_BLOCK_BYTES):
        leaving, tail = tail[:-keep] if len(tail) > keep else b"", tail[-keep:] + block
        if leaving and room > 0 and time.thread_time() < deadline:
            for piece in _around_errors(leaving, room):
                errors.append(piece)
                room -= len(piece)
    if len(tail) > keep and room > 0:
        errors += _around_errors(tail[:-keep], room)
    parts = [head[: head.rfind(b"\n") + 1 or len(head)], *errors, tail[-keep:].partition(b"\n")[2] or tail[-keep:]]
    return b"\n".join(parts).decode("utf-8", errors="replace")


def _around_errors(block: bytes, room: int) -> list[bytes]:
    """Whole lines around the first marks of errors in the block."""
    found: list[bytes] = []
    end = 0
    while len(found) < _ERRORS_A_BLOCK and room > 0:
        hits = [position for mark in _MARKS if (position := block.find(mark, end)) >= 0]
        if not hits:
            break
        start = block.rfind(b"\n", 0, min(hits)) + 1
        end = block.find(b"\n", min(len(block), min(hits) + _AROUND_BYTES))
        end = end if end >= 0 else len(block)
        piece = block[start : min(end, start + room)]
        found.append(piece)
        room -= len(piece)
    return found


def _documented(path: PurePosixPath) -> LogKey | None:
    """logs/<namespace>/<pod>/<container>[.previous].log, below any directory."""
    parts = path.parts
    if len(parts) < 4 or parts[-4] != "logs" or path.suffix != ".log":
        return None
    container = parts[-1].removesuffix(".log")
    return LogKey(parts[-3], parts[-2], container.removesuffix(".previous"), container.endswith(".previous"))


def _of_a_pod(path: PurePosixPath, pods: dict[str, list[r.Object]]) -> LogKey | None:
    """Other layouts: the kubelet's, must-gather's, or files named after the pod."""
    stem = path.name.removesuffix(".log").removesuffix(".txt").removesuffix(".previous").removesuffix("-previous")
    words = [word for part in (*path.parts[:-1], stem) for word in (part, *part.split("_"))]
    named = next((word for word in reversed(words) if word in pods), "")
    if not named:
        named = max((n for n in pods if stem.startswith((f"{n}-", f"{n}.", f"{n}_"))), key=len, default="")
    if not named:
        return None
    candidates = pods[named]
    pod = next((p for p in candidates if r.text(p, "metadata", "namespace") in words), candidates[0])
    containers = [
        r.text(c, "name") for c in (*r.dicts(pod, "spec", "containers"), *r.dicts(pod, "spec", "initContainers"))
    ]
    rest = {*words, stem.removeprefix(named).strip("-._")}
    container = next((c for c in containers if c in rest), containers[0] if containers else "")
    return LogKey(r.text(pod, "metadata", "namespace"), named, container, "previous" in path.name)


def _dumped(text: str) -> dict[LogKey, str]:
    """The sections of a ``logs.txt`` of ``kubectl cluster-info dump``."""
    found: dict[LogKey, str] = {}
    key: LogKey | None = None
    lines: list[str] = []
    for line in [*text.splitlines(), "==== END logs for container "]:
        start = _DUMP_START.match(line)
        if start or _DUMP_END.match(line):
            if key is not None and lines:
                found[key] = "\n".join(lines)
            key, lines = (LogKey(start[2], start[3], start[1]) if start else None), []
        elif key is not None:
            lines.append(line)
    return found
