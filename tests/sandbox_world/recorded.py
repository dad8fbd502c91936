"""Recorded scenarios: read, replayed in the sandbox, and both brought into a form that can be compared."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healing.sandbox.api.eviction import evict
from healing.sandbox.api.patches.jsonpatch import apply_json_patch
from healing.sandbox.api.patches.merge import apply_merge_patch
from healing.sandbox.api.patches.strategic import apply_strategic_patch
from healing.sandbox.api.schema import model_type
from healing.sandbox.ports import ApiError, Object
from tests.sandbox_world.lab import PERSON, Change, Lab

DIRECTORY = Path(__file__).parents[1] / "recordings" / "scenarios"
_PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/v[^/]+(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[a-z]+))?$"
)
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = re.compile(r"10\.\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Seen:
    """One change of one object, recorded or replayed."""

    t: float
    resource: str
    type: str
    object: Object


class Recording:
    def __init__(self, name: str) -> None:
        data = json.loads(gzip.decompress((DIRECTORY / f"{name}.json.gz").read_bytes()))
        self.namespace: str = data["namespace"]
        self.steps: list[Object] = data["steps"]
        self.changes = [
            Seen(row["t"], resource, row["event"]["type"], row["event"]["object"])
            for resource, rows in data["watches"].items()
            for row in rows
        ]
        self.changes.sort(key=lambda seen: seen.t)

    def created(self, resource: str) -> list[str]:
        return [
            seen.object["metadata"]["name"]
            for seen in self.changes
            if seen.resource == resource and seen.type == "ADDED"
        ]


async def replay(lab: Lab, recording: Recording, *, until_seconds: float | None = None) -> None:
    """Send what the recorder sent, at the same times; a request that the real server refused must be refused, too."""
    start = lab.now()
    for step in recording.steps:
        if until_seconds is not None and step["t"] > until_seconds:
            break
        await lab.sleep(max(0.0, start + step["t"] - lab.now()))
        if step["note"] == "kubelet stopped (SIGTERM)":
            lab.world.node("node1").fail("kubelet-stopped")
        elif step["note"] == "kubelet started again":
            lab.world.node("node1").recover()
        request = step.get("request")
        if request is None or request["method"] == "GET" or request["query"].get("dryRun"):
            continue
        status = 200
        try:
            _send(lab, recording, request)
        except ApiError as error:
            status = error.code
        assert (status if status >= 300 else 200) == (step["status"] if step["status"] >= 300 else 200), step["note"]
    if until_seconds is None:
        await lab.sleep(max(0.0, start + recording.changes[-1].t - lab.now()))


def _send(lab: Lab, recording: Recording, request: Object) -> None:
    found = _PATH.match(request["path"])
    assert found is not None, request["path"]
    resource = f"{found['plural']}.{found['group']}" if found["group"] else found["plural"]
    namespace, name, subresource = found["namespace"], found["name"] or "", found["subresource"] or ""
    if resource == "pods" and name:
        # Pods are told apart by the order they were created in; their names are random.
        made = [c.object["metadata"]["name"] for c in lab.history if c.resource == "pods" and c.type == "ADDED"]
        names = recording.created("pods")
        name = made[names.index(name)] if name in names else name
    body, method = request["body"], request["method"]
    if subresource == "eviction":
        if body["metadata"]["name"] != found["name"]:
            raise ApiError({"code": 400, "message": "the name of the object does not match the name on the URL"})
        evict(lab.cluster, namespace, name, user=PERSON, grace_seconds=None, dry_run=False, uid="")
        return
    if method == "POST":
        lab.cluster.create(resource, namespace, body, user=PERSON)
    elif method == "DELETE":
        options = body or {}
        lab.cluster.delete(
            resource, namespace, name, user=PERSON, grace_seconds=options.get("gracePeriodSeconds"),
            propagation=options.get("propagationPolicy") or "Background",
        )  # fmt: skip
    else:
        old = lab.cluster.get(resource, namespace, name)
        assert old is not None
        patched = _patched(lab, resource, old, request)
        lab.cluster.mutate(resource, namespace, name, lambda item: item.update(patched), user=PERSON)


def _patched(lab: Lab, resource: str, old: Object, request: Object) -> Object:
    kind, body = request["headers"]["Content-Type"], request["body"]
    if kind == "application/json-patch+json":
        return dict(apply_json_patch(old, body))
    if kind == "application/merge-patch+json":
        return dict(apply_merge_patch(old, body))
    return dict(apply_strategic_patch(old, body, model_type(lab.cluster.resource(resource).model)))


def of_lab(history: Iterable[Change], namespace: str) -> list[Seen]:
    """What happened in the sandbox, in the recordings' form."""
    return [
        Seen(c.t, c.resource.partition(".")[0], c.type, c.object)
        for c in history
        if c.object["metadata"].get("namespace") in (None, namespace)
    ]


class View:
    """What both kinds of history say, without what is random: names' suffixes, uids, addresses."""

    def __init__(self, changes: Sequence[Seen]) -> None:
        self.changes = changes
        self._names: dict[str, str] = {}
        for seen in changes:
            metadata = seen.object["metadata"]
            if seen.resource == "replicasets" and metadata["name"] not in self._names:
                owner = metadata["ownerReferences"][0]["name"]
                known = sum(alias.startswith(f"{owner}-rs") for alias in self._names.values())
                self._names[metadata["name"]] = f"{owner}-rs{known + 1}"
            for owner in metadata.get("ownerReferences") or ():
                if seen.resource == "pods" and owner["kind"] == "Job":
                    self._names[metadata["name"]] = f"{owner['name']}-POD"

    def plain(self, text: str) -> str:
        for name, alias in sorted(self._names.items(), key=lambda item: -len(item[0])):
            text = re.sub(rf"{re.escape(name)}-[a-z0-9]{{5}}(?![a-z0-9])", f"{alias}-POD", text)
            text = text.replace(name, alias)
        return _ADDRESS.sub("IP", _UID.sub("UID", text))

    def events(self) -> set[tuple[str, ...]]:
        """Each distinct event: object, type, reason, field path, component, message."""
        found = set()
        for seen in self.changes:
            item = seen.object
            if seen.resource != "events":
                continue
            involved = item["involvedObject"]
            found.add((
                self.plain(f"{involved['kind']}/{involved['name']}"), item["type"], item["reason"],
                involved.get("fieldPath", ""), item.get("reportingComponent") or "", self.plain(item["message"]),
            ))  # fmt: skip
        return found

    def event_counts(self, reason: str) -> list[float]:
        """When events of this reason were written or counted up."""
        return [s.t for s in self.changes if s.resource == "events" and s.object["reason"] == reason]

    def versions(self, resource: str) -> dict[str, list[Seen]]:
        """By name, in order of creation."""
        found: dict[str, list[Seen]] = {}
        for seen in self.changes:
            if seen.resource == resource:
                found.setdefault(seen.object["metadata"]["name"], []).append(seen)
        return found

    def condition_paths(self, resource: str) -> dict[str, list[dict[str, list[tuple[str, str, str]]]]]:
        """By alias of the object's name: per condition type the distinct (status, reason, message) in order."""
        found: dict[str, list[dict[str, list[tuple[str, str, str]]]]] = {}
        for name, versions in self.versions(resource).items():
            paths: dict[str, list[tuple[str, str, str]]] = {}
            for seen in versions:
                for entry in (seen.object.get("status") or {}).get("conditions") or ():
                    step = (entry["status"], entry.get("reason", ""), self.plain(entry.get("message", "")))
                    path = paths.setdefault(entry["type"], [])
                    if not path or path[-1] != step:
                        path.append(step)
            found.setdefault(self.plain(name), []).append(paths)
        return found

    def container_paths(self) -> dict[str, list[list[tuple[Any, ...]]]]:
        """By pod alias: the distinct states of all containers in order."""
        found: dict[str, list[list[tuple[Any, ...]]]] = {}
        for name, versions in self.versions("pods").items():
            path: list[tuple[Any, ...]] = []
            for seen in versions:
                status = seen.object["status"]
                states = [next(iter(entry["state"])) for entry in status.get("containerStatuses") or ()]
                if seen.object["metadata"].get("deletionTimestamp") and "waiting" in states:
                    continue  # a pod that never ran shows ContainerCreating for a moment while it is torn down
                step = (
                    status["phase"],
                    *(
                        self._container(entry)
                        for field in ("initContainerStatuses", "containerStatuses")
                        for entry in status.get(field) or ()
                    ),
                )
                if not path or path[-1] != step:
                    path.append(step)
            found.setdefault(self.plain(name), []).append(path)
        for name, paths in found.items():
            found[name] = sorted((_without_short_runs(path) for path in paths), key=repr)
        return found

    def _container(self, entry: Object) -> tuple[Any, ...]:
        ((kind, state),) = entry["state"].items()
        last = (entry.get("lastState") or {}).get("terminated") or {}
        return (
            kind, state.get("reason", ""), self.plain(state.get("message", "")), state.get("exitCode"),
            last.get("reason", ""), last.get("exitCode"), entry["restartCount"], entry.get("started"),
        )  # fmt: skip

    def final(self, resource: str) -> list[Object]:
        """The last version of every object, in order of creation."""
        return [versions[-1].object for versions in self.versions(resource).values()]

    def shape(self, resource: str) -> set[str]:
        """The paths of all fields that objects of this resource had at any time."""
        found: set[str] = set()
        for seen in self.changes:
            if seen.resource == resource:
                found |= _paths(seen.object, "")
        # The recorded kubelet (a development build) writes limits of 2^63 bytes there that nobody set.
        return {path for path in found if not path.startswith(".status.resources")}


def _without_short_runs(path: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """A process that ends between two looks of the kubelet is never seen running: such steps count for neither side."""

    def is_short(step: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
        pairs = zip(step[1:], after[1:], strict=False)
        return any(
            one[0] == "running" and other[0] == "terminated" and one[6] == other[6] and other[3] != 137
            for one, other in pairs
        )

    return [step for number, step in enumerate(path) if number + 1 == len(path) or not is_short(step, path[number + 1])]


def _paths(value: object, prefix: str) -> set[str]:
    if isinstance(value, Mapping):
        keyed = prefix.endswith((".labels", ".annotations", ".matchLabels", ".disruptedPods"))
        found: set[str] = {prefix} if not value else set()
        for key, item in value.items():
            if key != "managedFields":
                found |= _paths(item, f"{prefix}.{'*' if keyed else key}")
        return found
    if isinstance(value, list):
        return {path for item in value for path in _paths(item, f"{prefix}[]")} or {prefix}
    return {prefix}
