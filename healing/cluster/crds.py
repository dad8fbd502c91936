"""Puts our CustomResourceDefinitions into a cluster."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from healing.deadline import Deadline
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import Unavailable

#: Where the chart keeps them; `manage.py crds` writes them there.
DIRECTORY = Path(__file__).resolve().parents[2] / "helm" / "recist" / "crds"
_LOOK_EVERY_SECONDS = 0.1


def load() -> list[Object]:
    """The definitions as shipped."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(DIRECTORY.glob("*.yaml"))]


def apply(cluster: Cluster, *, timeout_seconds: float = 30.0) -> list[str]:
    """Create or update them by server-side apply and wait until they are served; returns their names.

    Raises `healing.ports.errors`; `Unavailable` when one is not established in time.
    """
    deadline = Deadline.after(timeout_seconds)
    names = []
    for definition in load():
        name = definition["metadata"]["name"]
        cluster.patch(
            "CustomResourceDefinition",
            "",
            name,
            definition,
            patch_type="apply",
            force=True,
            timeout_seconds=deadline.remaining_seconds(),
        )
        names.append(name)
    for name in names:
        _wait_until_established(cluster, name, deadline)
    return names


def _wait_until_established(cluster: Cluster, name: str, deadline: Deadline) -> None:
    while True:
        found = cluster.get("CustomResourceDefinition", "", name, timeout_seconds=deadline.remaining_seconds(5.0))
        conditions = (found.get("status") or {}).get("conditions") or ()
        if any(entry.get("type") == "Established" and entry.get("status") == "True" for entry in conditions):
            return
        if deadline.is_over:
            why = "; ".join(str(entry.get("message")) for entry in conditions if entry.get("status") == "False")
            raise Unavailable(f"The resource type {name} was not established in time: {why or 'no reason given'}")
        time.sleep(_LOOK_EVERY_SECONDS)
