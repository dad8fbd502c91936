"""Recorded scenarios as snapshots: what the cluster looked like at a moment, under its own or under other names."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

from healing.diagnosis.snapshot import Snapshot

DIRECTORY = Path(__file__).parents[1] / "recordings" / "scenarios"
KINDS = {
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "deployments": "Deployment",
    "events": "Event",
    "services": "Service",
    "endpointslices": "EndpointSlice",
    "endpoints": "Endpoints",
    "nodes": "Node",
    "jobs": "Job",
    "resourcequotas": "ResourceQuota",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "networkpolicies": "NetworkPolicy",
    "poddisruptionbudgets": "PodDisruptionBudget",
}


def objects(name: str, at: float = 1e9, rename: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """All objects ``at`` seconds into the scenario; ``rename`` replaces whole words everywhere."""
    text = gzip.decompress((DIRECTORY / f"{name}.json.gz").read_bytes()).decode()
    data = json.loads(renamed(text, rename or {}))
    found = []
    for resource, events in data["watches"].items():
        kind = KINDS.get(resource)
        state: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in events if kind else ():
            event = entry.get("event")
            if event is None or entry["t"] > at or event["type"] in ("BOOKMARK", "ERROR"):
                continue
            meta = event["object"]["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            if event["type"] == "DELETED":
                state.pop(key, None)
            else:
                state[key] = {**event["object"], "kind": kind}
        found += state.values()
    return found


def renamed(text: str, names: dict[str, str]) -> str:
    """Whole words replaced."""
    for old, new in names.items():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(old)}(?![A-Za-z0-9])", new, text)
    return text


def snapshot(name: str, at: float = 1e9, rename: dict[str, str] | None = None) -> Snapshot:
    """See `objects`."""
    return snapshot_of(objects(name, at, rename))


def snapshot_of(items: list[dict[str, Any]]) -> Snapshot:
    """A snapshot of objects, without logs and metrics."""
    result = Snapshot()
    for item in items:
        result.add(item)
    return result
