"""Replaying recorded exchanges against the server, and comparing what comes back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

RECORDINGS = Path(__file__).parent.parent / "recordings"

#: what the recorded cluster's controllers, kubelet and vendor add, and this server alone does not
_FOREIGN_MANAGERS = frozenset({"kube-controller-manager", "kubelet", "kube-scheduler", "kube-apiserver"})
_VOLATILE = frozenset(
    "uid resourceVersion creationTimestamp deletionTimestamp time lastTransitionTime lastUpdateTime storageVersionHash "
    "clusterIP clusterIPs continue".split()
)
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_VERSION = re.compile(r'(resource version: |current: |\\"resourceVersion\\":\\"|\()\d+')


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int
    answer_headers: dict[str, str]
    answer: Any


def exchange(name: str) -> Exchange:
    """``errors/404-pod.json``"""
    data = json.loads((RECORDINGS / name).read_text())
    request, response = data["request"], data["response"]
    return Exchange(
        name,
        request["method"],
        request["path"],
        request.get("query") or {},
        request.get("headers") or {},
        request.get("body"),
        response["status"],
        response.get("headers") or {},
        response["body"],
    )


def exchanges(directory: str) -> list[Exchange]:
    return [exchange(str(path.relative_to(RECORDINGS))) for path in sorted((RECORDINGS / directory).glob("*.json"))]


@dataclass(slots=True)
class Replayer:
    """Sends recorded requests with our uids and versions in the place of the recorded ones."""

    http: httpx.Client
    known: dict[str, str] = field(default_factory=dict)

    def send(self, recorded: Exchange, headers: dict[str, str] | None = None) -> httpx.Response:
        body = recorded.body
        content: bytes | None = None
        if isinstance(body, str):
            content = body.encode() or None
        elif body is not None:
            content = self._translated(json.dumps(body)).encode()
        query = {key: self.known.get(value, value) for key, value in recorded.query.items()}
        answer = self.http.request(
            recorded.method,
            recorded.path,
            params=query,
            content=content,
            headers={**recorded.headers, **(headers or {})},
        )
        if answer.headers.get("content-type", "").startswith("application/json"):
            self._learn(recorded.answer, answer.json())
        return answer

    def _translated(self, text: str) -> str:
        for theirs, ours in self.known.items():
            text = text.replace(f'"{theirs}"', f'"{ours}"')
        return text

    def _learn(self, theirs: Any, ours: Any) -> None:
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for key, value in theirs.items():
                if key in ("uid", "resourceVersion", "creationTimestamp", "continue") and isinstance(
                    ours.get(key), str
                ):
                    if isinstance(value, str) and value:
                        self.known[value] = ours[key]
                else:
                    self._learn(value, ours.get(key))
        elif isinstance(theirs, list) and isinstance(ours, list):
            for left, right in zip(theirs, ours, strict=False):
                self._learn(left, right)


def normal(value: Any, *, ours: bool = False, key: str = "") -> Any:
    """Without what differs from cluster to cluster."""
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for name, item in value.items():
            if name in _VOLATILE and item not in ("", None):
                result[name] = f"<{name}>"
            elif name == "annotations" and isinstance(item, dict):
                kept = {k: v for k, v in item.items() if k != "deployment.kubernetes.io/revision"}
                if kept:
                    result[name] = kept
            elif name == "managedFields":
                entries = [normal(entry) for entry in item if entry.get("manager") not in _FOREIGN_MANAGERS]
                for entry in entries:
                    entry.pop("time", None)
                if entries:
                    result[name] = sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))
            elif name == "sources" and isinstance(item, list):
                result[name] = [normal(part) for part in item if "openshift" not in json.dumps(part)]
            elif item is not None:
                result[name] = normal(item, key=name)
        return result
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        text = _UID.sub("<uid>", value)
        text = _TIME.sub("<time>", text)
        text = _VERSION.sub(r"\1<version>", text)
        return _TOKEN_VOLUME.sub("kube-api-access-xxxxx", text)
    return value


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Paths whose (normal) values differ, with both values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            text
            for name in sorted(theirs.keys() | ours.keys())
            for text in differences(theirs.get(name, "<absent>"), ours.get(name, "<absent>"), f"{path}.{name}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [
            text
            for index, (left, right) in enumerate(zip(theirs, ours, strict=True))
            for text in differences(left, right, f"{path}[{index}]")
        ]
    if theirs != ours:
        return [f"{path}: recorded {json.dumps(theirs)[:300]}, ours {json.dumps(ours)[:300]}"]
    return []


def compare(recorded: Exchange, answer: httpx.Response, *, without: tuple[str, ...] = ()) -> list[str]:
    """What differs between the recorded answer and ours; ``without`` names top-level fields left out."""
    found = (
        []
        if recorded.status == answer.status_code
        else [f"status {recorded.status}, ours {answer.status_code}: {answer.text[:300]}"]
    )
    theirs_type = recorded.answer_headers.get("Content-Type", "").partition(";")[0]
    ours_type = answer.headers.get("content-type", "").partition(";")[0]
    if theirs_type != ours_type:
        found.append(f"Content-Type {theirs_type}, ours {ours_type}")
    if isinstance(recorded.answer, str):
        return found if recorded.answer == answer.text else [*found, f"body {recorded.answer!r}, ours {answer.text!r}"]
    theirs, ours = normal(recorded.answer), normal(answer.json())
    for name in without:
        for body in (theirs, ours):
            if isinstance(body, dict):
                body.pop(name, None)
    return found + differences(theirs, ours)
