"""The world's own measure over time, from its changes. Times are seconds since the timeline began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: ``{"at", "kind", "name", "well", "detail"}``, in the order of time
Changes = Sequence[Mapping[str, Any]]
#: (kind or "" for any workload, "namespace/name")
Target = tuple[str, str]
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


def targets_of(expected: Mapping[str, Any], changes: Changes) -> list[Target]:
    """What has to be well again: what the expectation names, or all that was well when its step was taken."""
    named = [("Service", name) for name in expected["wellServices"]]
    named += [("", name) for name in expected["wellWorkloads"]]
    if named:
        return named
    return well_ones(changes, expected["stepAt"] or 0.0)


def well_ones(changes: Changes, at: float) -> list[Target]:
    """Everything that is well at a time."""
    state: dict[Target, bool] = {}
    for change in changes:
        if change["at"] <= at:
            state[change["kind"], change["name"]] = change["well"]
    return sorted(target for target, well in state.items() if well)


def unwell(targets: Sequence[Target], changes: Changes, at: float) -> list[Target]:
    """Those of the targets that are not well at a time."""
    state: dict[Target, bool] = {}
    for change in changes:
        if change["at"] <= at:
            state[change["kind"], change["name"]] = change["well"]
    return [target for target in targets if not _is_well(target, state)]


def _is_well(target: Target, state: Mapping[Target, bool]) -> bool:
    kind, name = target
    if kind:
        return state.get(target, False)
    known = [state[each, name] for each in _WORKLOADS if (each, name) in state]
    return bool(known) and all(known)


def first_unwell(targets: Sequence[Target], changes: Changes, since: float, until: float) -> float | None:
    """When one of the targets was first not well; None: all were well throughout."""
    moments = [since, *(c["at"] for c in changes if since < c["at"] <= until)]
    return next((float(moment) for moment in moments if unwell(targets, changes, moment)), None)


def well_since(targets: Sequence[Target], changes: Changes, since: float, until: float) -> float | None:
    """Since when all targets have been well without a break, as seen at ``until``; None: one is not well then."""
    if unwell(targets, changes, until):
        return None
    moments = sorted({since, *(c["at"] for c in changes if since < c["at"] <= until)})
    begin: float = moments[-1]
    for moment in reversed(moments):
        if unwell(targets, changes, moment):
            break
        begin = moment
    return begin
