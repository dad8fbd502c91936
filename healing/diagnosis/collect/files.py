"""A snapshot from files: a directory or a tar archive, as DESIGN.md section 9 describes it.

Objects may be in any ``.json``, ``.yaml`` or ``.yml`` file; the layout of ``kubectl cluster-info dump`` is known.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from healing.diagnosis import reading as r
from healing.diagnosis.snapshot import LogKey, Snapshot
from healing.ports.metrics import Series

#: Of a log only the end is read; of objects so much.
MAX_LOG_BYTES = 1_000_000
MAX_OBJECT_BYTES = 512 * 2**20
_OBJECT_SUFFIXES = (".json", ".yaml", ".yml")
_DUMP_START = re.compile(r"^==== START logs for container (\S+) of pod (\S+)/(\S+) ====$")
_DUMP_END = re.compile(r"^==== END logs for container ")
_KINDS = (
    "Pod Deployment ReplicaSet StatefulSet DaemonSet Job CronJob Service Endpoints EndpointSlice Event ConfigMap Secret"
    " ServiceAccount NetworkPolicy Ingress ResourceQuota LimitRange PersistentVolumeClaim PersistentVolume StorageClass"
    " HorizontalPodAutoscaler PodDisruptionBudget Node Namespace ControllerRevision ReplicationController"
).split()


def _plural(kind: str) -> str:
    lowered = kind.lower()
    if lowered.endswith(("s", "ss", "x")) and lowered != "endpoints":
        return f"{lowered}es"
    if lowered.endswith("y"):
        return f"{lowered[:-1]}ies"
    return lowered if lowered == "endpoints" else f"{lowered}s"


#: file name of a list -> its kind: an empty one says that there is nothing of that kind
_KIND_OF_PLURAL = {_plural(kind): kind for kind in _KINDS}


class SnapshotError(Exception):
    """Input that cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class _File:
    path: PurePosixPath
    open: Callable[[], IO[bytes]]
    size: int


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Safe, and leaves times as the strings they are in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def read_snapshot(path: Path) -> Snapshot:
    """Read a directory, a ``.tar.gz`` or a single file of objects. Raises `SnapshotError`."""
    snapshot = Snapshot()
    objects = 0
    try:
        for file in _files(path):
            objects += _take(snapshot, file)
    except OSError as error:
        raise SnapshotError(f"{error.filename or path}: {error.strerror or error}") from error
    if not objects:
        raise SnapshotError(
            f"{path}: no Kubernetes objects found (expected .json or .yaml files as kubectl prints them)"
        )
    if not snapshot.logs:
        snapshot.missing["logs"] = "the snapshot has none"
    if not snapshot.series:
        snapshot.missing["metrics"] = "the snapshot has none"
    if not any(True for _ in snapshot.all_events()) and not _has_events_list(snapshot):
        snapshot.missing["events"] = "the snapshot has none"
    return snapshot


def _has_events_list(snapshot: Snapshot) -> bool:
    return any(kind == "Event" for kind, _ in snapshot.complete)


def _files(path: Path) -> Iterator[_File]:
    if not path.exists():
        raise SnapshotError(f"{path}: no such file or directory")
    if path.is_dir():
        for found in sorted(p for p in path.rglob("*") if p.is_file()):
            relative = PurePosixPath(found.relative_to(path).as_posix())
            yield _File(relative, lambda found=found: found.open("rb"), found.stat().st_size)  # type: ignore[misc]
    elif tarfile.is_tarfile(path):
        yield from _members(path)
    elif path.suffix in _OBJECT_SUFFIXES:
        yield _File(PurePosixPath(path.name), lambda: path.open("rb"), path.stat().st_size)
    else:
        raise SnapshotError(f"{path}: neither a directory nor a tar archive that can be read")


def _members(path: Path) -> Iterator[_File]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    name = PurePosixPath(*[part for part in PurePosixPath(member.name).parts if part not in (".", "/")])
                    yield _File(name, lambda stream=stream: stream, member.size)  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SnapshotError(f"{path}: the archive is damaged ({error})") from error


def _take(snapshot: Snapshot, file: _File) -> int:
    """Read one file into the snapshot; returns how many objects it had."""
    path = file.path
    if any(part.startswith(".") for part in path.parts):
        return 0
    if path.name == "logs.txt":
        _dumped_logs(snapshot, _tail(file))
        return 0
    if path.suffix == ".log":
        _log(snapshot, file)
        return 0
    if path.suffix.lower() not in _OBJECT_SUFFIXES:
        return 0
    if file.size > MAX_OBJECT_BYTES:
        raise SnapshotError(f"{path}: larger than {MAX_OBJECT_BYTES // 2**20} MiB")
    documents = _parse(file)
    if path.name == "metrics.json":
        snapshot.series += [_series(path, entry) for entry in _results(path, documents[0])]
        return 0
    if path.name == "alerts.json":
        snapshot.alerts += _results(path, documents[0])
        return 0
    kind = _KIND_OF_PLURAL.get(path.stem.lower().partition(".")[0], "")
    return sum(_add(snapshot, document, kind, path) for document in documents)


def _parse(file: _File) -> list[Any]:
    with file.open() as stream:
        data = stream.read()
    try:
        text = data.decode("utf-8-sig")
        if file.path.suffix.lower() == ".json":
            return [json.loads(text)] if text.strip() else [None]
        return list(yaml.load_all(io.StringIO(text), Loader=_Loader))
    except UnicodeDecodeError as error:
        raise SnapshotError(f"{file.path}: not text ({error})") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        shown = " ".join(str(error).split())[:300]
        raise SnapshotError(f"{file.path}: cannot be parsed ({shown})") from error


def _add(snapshot: Snapshot, document: Any, kind_of_file: str, path: PurePosixPath) -> int:
    if document is None:
        return 0
    if isinstance(document, list):
        return sum(_add(snapshot, item, kind_of_file, path) for item in document)
    if not isinstance(document, dict):
        raise SnapshotError(f"{path}: holds {type(document).__name__}, not Kubernetes objects")
    kind = r.text(document, "kind")
    if (isinstance(document.get("items", ()), list) and "items" in document) or kind.endswith("List"):
        items = r.dicts(document, "items")
        item_kind = kind.removesuffix("List") or kind_of_file
        if item_kind and (kind != "List" or not items or all(r.text(i, "kind") == item_kind for i in items)):
            namespaces = {r.text(i, "metadata", "namespace") for i in items}
            snapshot.complete.add((item_kind, namespaces.pop() if len(namespaces) == 1 else ""))
        for item in items:
            if not r.text(item, "kind") and item_kind:
                item = {**item, "kind": item_kind}  # noqa: PLW2901 - lists leave it out
            snapshot.add(item)
        return max(len(items), 1)
    return int(snapshot.add(document))


def _results(path: PurePosixPath, document: Any) -> list[r.Object]:
    """A list, or the answer of Prometheus' API that holds one."""
    if isinstance(document, dict):
        document = r.at(document, "data", "result") or r.at(document, "data", "alerts") or r.at(document, "data")
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise SnapshotError(f"{path}: not a list of objects")
    return document


def _series(path: PurePosixPath, entry: r.Object) -> Series:
    values = entry.get("values")
    if values is None and entry.get("value") is not None:
        values = [entry["value"]]
    if not isinstance(entry.get("metric"), dict) or not isinstance(values, list):
        raise SnapshotError(f'{path}: a series needs "metric" and "values"')
    try:
        points = tuple((float(time), float(value)) for time, value in values)
    except (TypeError, ValueError) as error:
        raise SnapshotError(f"{path}: values must be pairs of time and number ({error})") from error
    return Series(r.labels(entry, "metric"), points)


def _log(snapshot: Snapshot, file: _File) -> None:
    """logs/<namespace>/<pod>/<container>[.previous].log, below any directory."""
    parts = file.path.parts
    if len(parts) < 4 or parts[-4] != "logs":
        return
    container = parts[-1].removesuffix(".log")
    previous = container.endswith(".previous")
    key = LogKey(parts[-3], parts[-2], container.removesuffix(".previous"), previous)
    snapshot.logs[key] = _tail(file)


def _dumped_logs(snapshot: Snapshot, text: str) -> None:
    """The sections of a ``logs.txt`` of ``kubectl cluster-info dump``."""
    key: LogKey | None = None
    lines: list[str] = []
    for line in text.splitlines():
        start = _DUMP_START.match(line)
        if start:
            key, lines = LogKey(start[2], start[3], start[1]), []
        elif _DUMP_END.match(line):
            if key is not None and lines:
                snapshot.logs[key] = "\n".join(lines)
            key = None
        elif key is not None:
            lines.append(line)
    if key is not None and lines:
        snapshot.logs[key] = "\n".join(lines)


def _tail(file: _File) -> str:
    with file.open() as stream:
        if file.size > MAX_LOG_BYTES:
            stream.seek(file.size - MAX_LOG_BYTES)
            stream.readline()
        return stream.read(MAX_LOG_BYTES).decode("utf-8", errors="replace")
