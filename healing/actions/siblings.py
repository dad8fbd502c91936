"""Whether the siblings of a pod could carry its load too: asked before it is isolated, or started anew on a guess.

Use is the metrics' (the queries of `healing.queries`), the room is what the containers are limited to, or ask for where
they have no limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from healing.actions import quantities
from healing.ports.cluster import Object
from healing.ports.errors import SourceError
from healing.ports.metrics import Metrics
from healing.queries import catalogue

_QUERIES = {"cpu": catalogue.CONTAINER_CPU, "memory": catalogue.CONTAINER_MEMORY}


@dataclass(frozen=True, slots=True)
class Answer:
    """``has_room`` None: nobody could say. ``text`` is a sentence's end, for people."""

    has_room: bool | None
    text: str


def ask(
    metrics: Metrics | None,
    namespace: str,
    siblings: list[Object],
    least_free: float,
    *,
    timeout_seconds: float,
    resources: Iterable[str] = tuple(_QUERIES),
) -> Answer:
    """Whether the ready ``siblings`` together have this fraction of their ``resources`` free. Never raises."""
    if metrics is None:
        return Answer(None, "no metrics source is configured")
    room = {resource: _room(siblings, resource) for resource in resources}
    if not any(room.values()):
        return Answer(None, "their containers have neither limits nor requests to compare with")
    said = []
    try:
        for resource, limits in room.items():
            if not limits:
                continue
            free = _free(metrics, namespace, siblings, resource, limits, timeout_seconds)
            if free is None:
                return Answer(None, f"there are no numbers of their {resource}")
            said.append(f"{free:.0%} of their {resource}")
            if free < least_free:
                return Answer(False, f"they have {free:.0%} of their {resource} free, {least_free:.0%} are wanted")
    except SourceError as error:
        return Answer(None, str(error))
    return Answer(True, f"they have {' and '.join(said)} free")


def _room(pods: list[Object], resource: str) -> dict[tuple[str, str], float]:
    """(pod, container) -> cores or bytes."""
    found = {}
    for pod in pods:
        for container in pod["spec"].get("containers") or ():
            resources = container.get("resources") or {}
            text = (resources.get("limits") or {}).get(resource) or (resources.get("requests") or {}).get(resource)
            if text is not None:
                found[pod["metadata"]["name"], container["name"]] = float(quantities.parse(text))
    return found


def _free(
    metrics: Metrics,
    namespace: str,
    pods: list[Object],
    resource: str,
    room: dict[tuple[str, str], float],
    timeout_seconds: float,
) -> float | None:
    """The fraction that is free, over all containers of which both sides are known; None: of none."""
    text = _QUERIES[resource].text(where=catalogue.of_pods(namespace, [pod["metadata"]["name"] for pod in pods]))
    used = {
        where: sample.value
        for sample in metrics.query(text, timeout_seconds=timeout_seconds)
        if (where := (sample.labels.get("pod", ""), sample.labels.get("container", ""))) in room
        and math.isfinite(sample.value)
    }
    whole = sum(room[where] for where in used)
    return 1.0 - sum(used.values()) / whole if whole > 0 else None
