"""A snapshot from files: a directory or an archive, as DESIGN.md section 9 describes it, and much that is like it.

Objects may be in any ``.json``, ``.yaml`` or ``.yml`` file; the layout of ``kubectl cluster-info dump`` is known. What
cannot be used is named in `Snapshot.missing` (``file NAME``); only where nothing can be used there is an error.
"""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from healing.diagnosis import reading as r
from healing.diagnosis.collect import parsing
from healing.diagnosis.collect.log_files import MAX_LOG_BYTES, LogFiles
from healing.diagnosis.collect.parsing import Unreadable
from healing.diagnosis.snapshot import Snapshot

__all__ = ["MAX_LOG_BYTES", "MAX_OBJECT_BYTES", "SnapshotError", "read_snapshot"]

MAX_OBJECT_BYTES = 512 * 2**20
_OBJECT_SUFFIXES = (".json", ".yaml", ".yml", ".ndjson", ".jsonl")
_KINDS = (
    "Pod Deployment ReplicaSet StatefulSet DaemonSet Job CronJob Service Endpoints EndpointSlice Event ConfigMap Secret"
    " ServiceAccount NetworkPolicy Ingress ResourceQuota LimitRange PersistentVolumeClaim PersistentVolume StorageClass"
    " HorizontalPodAutoscaler PodDisruptionBudget Node Namespace ControllerRevision ReplicationController HTTPRoute"
    " GRPCRoute Gateway Lease"
).split()


def _plural(kind: str) -> str:
    lowered = kind.lower()
    if lowered.endswith(("s", "ss", "x")) and lowered != "endpoints":
        return f"{lowered}es"
    if lowered.endswith("y") and not lowered.endswith("ay"):
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


def read_snapshot(path: Path) -> Snapshot:
    """Read a directory, a ``.tar.gz``, a ``.zip`` or a single file of objects. Raises `SnapshotError`."""
    snapshot, logs = Snapshot(), LogFiles()
    objects = 0
    for file in _files(path, snapshot):
        try:
            objects += _take(snapshot, logs, file)
        except Unreadable as error:
            snapshot.missing[f"file {file.path}"] = str(error)
        except (OSError, EOFError, MemoryError) as error:
            snapshot.missing[f"file {file.path}"] = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if not objects:
        skipped = "; ".join(f"{name.removeprefix('file ')}: {why}" for name, why in list(snapshot.missing.items())[:5])
        raise SnapshotError(
            f"{path}: no Kubernetes objects found (expected .json or .yaml files as kubectl prints them)"
            + (f". {skipped}" if skipped else "")
        )
    nobodys = logs.assign(snapshot)
    if nobodys and not snapshot.logs:
        snapshot.missing["logs"] = f"{nobodys} files belong to no pod of the snapshot"
    elif not snapshot.logs:
        snapshot.missing["logs"] = "the snapshot has none"
    if not snapshot.series:
        snapshot.missing["metrics"] = "the snapshot has none"
    if not any(True for _ in snapshot.all_events()) and not any(kind == "Event" for kind, _ in snapshot.complete):
        snapshot.missing["events"] = "the snapshot has none"
    return snapshot


def _files(path: Path, snapshot: Snapshot) -> Iterator[_File]:
    if not path.exists():
        raise SnapshotError(f"{path}: no such file or directory")
    if path.is_dir():
        for found in sorted(path.rglob("*")):
            relative = PurePosixPath(found.relative_to(path).as_posix())
            try:
                if found.is_file():
                    yield _File(relative, lambda found=found: found.open("rb"), found.stat().st_size)  # type: ignore[misc]
            except OSError as error:
                snapshot.missing[f"file {relative}"] = f"cannot be read ({error.strerror or error})"
    elif path.is_file() and _is_tar(path):
        yield from _members(path, snapshot)
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield _File(_clean(info.filename), lambda info=info: archive.open(info), info.file_size)  # type: ignore[misc]
    elif path.suffix in (*_OBJECT_SUFFIXES, ".gz"):
        yield _File(PurePosixPath(path.name), lambda: path.open("rb"), path.stat().st_size)
    else:
        raise SnapshotError(f"{path}: neither a directory nor an archive that can be read")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def _members(path: Path, snapshot: Snapshot) -> Iterator[_File]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    yield _File(_clean(member.name), lambda stream=stream: stream, member.size)  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        snapshot.missing[f"file {path.name}"] = f"the archive is damaged ({error})"


def _clean(name: str) -> PurePosixPath:
    return PurePosixPath(*[part for part in PurePosixPath(name).parts if part not in (".", "/", "..")])


def _take(snapshot: Snapshot, logs: LogFiles, file: _File) -> int:
    """Read one file into the snapshot; returns how many objects it had. Raises `Unreadable`."""
    path = file.path
    if any(part.startswith((".", "__MACOSX")) for part in path.parts):
        return 0
    suffix = path.suffix.lower()
    is_zipped = suffix == ".gz"
    if is_zipped:
        path = PurePosixPath(str(path)[:-3])
        suffix = path.suffix.lower()
    if suffix not in (*_OBJECT_SUFFIXES, ".log", ".txt", ".csv"):
        return 0
    with file.open() as raw:
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if is_zipped else raw
        if suffix in (".log", ".txt"):
            logs.take(path, stream)
            return 0
        if file.size > MAX_OBJECT_BYTES:
            raise Unreadable(f"larger than {MAX_OBJECT_BYTES // 2**20} MiB")
        data = stream.read(MAX_OBJECT_BYTES)
    text = parsing.decoded(data)
    if suffix == ".csv":
        snapshot.series += parsing.series_of_table(text)
        return 0
    documents, damage = (parsing.yaml_documents if suffix in (".yaml", ".yml") else parsing.json_documents)(text)
    if damage:
        snapshot.missing[f"file {path}"] = damage
    kind = _KIND_OF_PLURAL.get(path.stem.lower().partition(".")[0], "")
    return sum(_read(snapshot, document, kind, path) for document in documents)


def _read(snapshot: Snapshot, document: Any, kind_of_file: str, path: PurePosixPath) -> int:
    """Series, alerts or objects: what a document holds is plain from its shape."""
    if document is None:
        return 0
    entries = parsing.series_entries(document)
    if entries or path.stem == "metrics":
        found = [one for entry in entries if (one := parsing.series_of(entry)) is not None]
        snapshot.series += found
        if len(found) < len(entries) or (not entries and document):
            snapshot.missing[f"file {path}"] = 'a series needs "metric" and "values", pairs of time and number'
        return 0
    alerts = parsing.alert_entries(document)
    if alerts or path.stem == "alerts":
        snapshot.alerts += alerts
        if not alerts and document and not isinstance(document, dict | list):
            snapshot.missing[f"file {path}"] = "not a list of alerts"
        return 0
    return _add(snapshot, document, kind_of_file, path)


def _add(snapshot: Snapshot, document: Any, kind_of_file: str, path: PurePosixPath) -> int:
    if isinstance(document, list):
        found = sum(_add(snapshot, item, kind_of_file, path) for item in document if isinstance(item, dict | list))
        if not found and document:
            raise Unreadable("holds no Kubernetes objects")
        return found
    if not isinstance(document, dict):
        raise Unreadable(f"holds {type(document).__name__}, not Kubernetes objects")
    kind = r.text(document, "kind")
    if "items" in document or kind.endswith("List"):
        items = r.dicts(document, "items")
        item_kind = kind.removesuffix("List") or kind_of_file
        whole = "truncated" not in document and isinstance(document.get("items"), list | None)
        if whole and item_kind and (kind != "List" or not items or all(r.text(i, "kind") == item_kind for i in items)):
            namespaces = {r.text(i, "metadata", "namespace") for i in items}
            snapshot.complete.add((item_kind, namespaces.pop() if len(namespaces) == 1 else ""))
        added = 0
        for item in items:
            named = r.text(item, "kind") or item_kind or _kind_by_shape(item)
            added += snapshot.add(item if r.text(item, "kind") else {**item, "kind": named})  # lists leave it out
        return max(added, int(whole))
    if not kind:
        named = kind_of_file or _kind_by_shape(document)
        return int(bool(named) and snapshot.add({**document, "kind": named}))
    return int(snapshot.add(document))


def _kind_by_shape(obj: r.Object) -> str:
    """The kind of an object that does not say it."""
    if r.mapping(obj, "involvedObject") or r.mapping(obj, "regarding"):
        return "Event"
    if r.dicts(obj, "spec", "containers"):
        return "Pod"
    if r.mapping(obj, "status", "nodeInfo"):
        return "Node"
    return ""
