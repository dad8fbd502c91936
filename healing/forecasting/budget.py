"""Error budgets: how fast they burn, and when they are gone.

A budget is what a service-level objective leaves for errors: 0.1 % of a month's requests with 99.9 %. As in Google's
SRE workbook, two windows must burn fast at once: the long one shows that it matters, the short one that it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healing.forecasting.model import Foreseen
from healing.forecasting.owners import Owners
from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Metrics
from healing.queries.load import RequestLoad
from healing.queries.requests import RequestReader, best
from knowledge.forecasts import Breach

MONTH_SECONDS = 30 * 86_400.0
#: (long window, short window, burn rate): with the last, the month's budget is gone in 2, 5 and 10 days.
WINDOWS: tuple[tuple[int, int, float], ...] = ((3600, 300, 14.4), (6 * 3600, 1800, 6.0), (3 * 86_400, 6 * 3600, 3.0))
#: Fewer failed requests in the short window are chance.
_LEAST_ERRORS = 8.0
#: The burn of the next weeks is that of the last minutes, give or take.
_FASTER, _SLOWER = 1.5, 0.6
_CALL_SECONDS = 8.0
#: The long window must hold so many times the requests of the short one.
_LONGER = 3.0


@dataclass(frozen=True, slots=True)
class Objective:
    """``target``: share of requests that must succeed, such as 0.999. ``alarm``: above it is a fault already."""

    target: float
    alarm: float


def look(metrics: Metrics, objectives: Mapping[str, Objective], owners: Owners) -> list[Foreseen]:
    """Workloads and Services of the namespaces whose budget burns. Raises `healing.ports.errors`."""
    found: dict[ObjectRef, Foreseen] = {}
    reader = RequestReader(metrics)
    for long, short, burn in WINDOWS:
        older = by_workload(reader, objectives, owners, long)
        newer = by_workload(reader, objectives, owners, short) if older else {}
        for place, load in older.items():
            objective, now = objectives[place.namespace], newer.get(place)
            if place in found or now is None or not load.requests or not now.requests:
                continue
            share, share_now = load.errors / load.requests, now.errors / now.requests
            if now.errors * short < _LEAST_ERRORS or share_now > objective.alarm:
                continue
            if load.requests * long < _LONGER * now.requests * short:
                continue  # the metrics are too young for the long window to say more than the short one
            if min(share, share_now) / (1 - objective.target) >= burn:
                found[place] = _foreseen(place, share, share_now, objective, long)
    return list(found.values())


def by_workload(
    reader: RequestReader, objectives: Mapping[str, Objective], owners: Owners, window_seconds: int
) -> dict[ObjectRef, RequestLoad]:
    """Requests and errors a second of the newest ``window_seconds``, by workload or Service."""
    loads = reader.over(objectives, window_seconds=window_seconds, timeout_seconds=_CALL_SECONDS)
    grouped: dict[ObjectRef, list[RequestLoad]] = {}
    for (kind, namespace, name), by_family in loads.items():
        place = owners.of_pod(namespace, name) if kind == "Pod" else ObjectRef(kind, namespace, name)
        if place is not None and namespace in objectives:
            grouped.setdefault(place, []).append(best(by_family))
    return {place: RequestLoad.total(several) for place, several in grouped.items()}


def _foreseen(place: ObjectRef, share: float, share_now: float, objective: Objective, window: int) -> Foreseen:
    burn = share_now / (1 - objective.target)
    left = MONTH_SECONDS / burn
    return Foreseen(
        WarningKind.ERROR_BUDGET,
        place,
        "",
        "fraction",
        share_now,
        1 - objective.target,
        Breach(left, left / _FASTER, left / _SLOWER),
        0.8,
        details={
            "burnRate": round(burn, 1),
            "share": share,
            "target": objective.target,
            "spanSeconds": window,
            "scale": "minutes",
        },
    )
