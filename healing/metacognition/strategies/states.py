"""Strategies that put an object back to how it was seen before the fault."""

from __future__ import annotations

from collections.abc import Iterator

from healing.actions import known_states, manifests, revisions
from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.actions.recreate_missing import RECREATABLE
from healing.actions.restart import stamp
from healing.actions.restore_object import REMOVABLE
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.metacognition.strategies.configuration import carry_on
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound

#: An object that was made so shortly before the fault may be its cause.
_NEW_SECONDS = 3600.0

#: Facts of findings that name an object beside the finding's own, and its kind.
_NAMED = {
    "config_map": "ConfigMap",
    "service_account": "ServiceAccount",
    "service": "Service",
    "claim": "PersistentVolumeClaim",
    "quota": "ResourceQuota",
    "policy": "NetworkPolicy",
}


def restore_object(case: Case) -> Blueprint:
    """The finding's object goes back to its last known good state; a new one is taken away."""
    live, ref = _what_was_changed(case)
    since = case.event.detected_at
    changed = manifests.changed_at(live)
    age = max(0.0, (since - changed).total_seconds()) if changed else None
    known = known_states.former(case.event.cluster, live, ref.kind, before=since)
    if known is not None:
        if age is None or changed is None or changed < known.last_seen_at:
            age = max(0.0, (since - known.last_seen_at).total_seconds())
        parameters: dict[str, object] = {"state": known.pk}
        source = f"it was seen at {known.last_seen_at:%H:%M:%S} UTC, and was changed since"
    elif manifests.applied(live, ref.kind) is not None:
        parameters, source = {"lastApplied": True}, "it was changed since it was applied"
    else:
        return _take_away(case, live, ref)
    return Blueprint(
        f"Put {ref.kind} {ref.name} back to how it was",
        f"{ref.kind} {ref.name}: {source}.",
        (Step(ActionName.RESTORE_OBJECT, ref, parameters), *_have_it_read(case, ref), *carry_on(case)),
        restores=True,
        seconds=15,
        changed_seconds=age,
    )


def _what_was_changed(case: Case) -> tuple[Object, ObjectRef]:
    """The finding's object; for a workload that is refused or lacks something: what the finding names beside it.

    A workload's template goes back by its revisions, which say more about what was good."""
    finding = case.finding
    if finding.object.kind not in WORKLOAD_KINDS:
        if finding.object.kind not in manifests.PARTS:
            raise CannotPlan(f"What a {finding.object.kind} was like before is not kept.")
        named = [finding.object]
    else:
        namespace = finding.object.namespace or case.target.namespace
        named = [ObjectRef(k, namespace, str(case.fact(f, "")).rsplit("/", 1)[-1]) for f, k in _NAMED.items()]
    for ref in named:
        if not ref.name:
            continue
        try:
            live = case.cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=case.seconds)
        except (NotFound, Forbidden):
            continue
        is_only = finding.object.kind not in WORKLOAD_KINDS
        if is_only or known_states.former(case.event.cluster, live, ref.kind, before=case.event.detected_at):
            return live, ObjectRef.of(live, ref.kind)
    raise CannotPlan(f"Nothing beside {finding.object} that the finding names was changed.")


def _take_away(case: Case, live: Object, ref: ObjectRef) -> Blueprint:
    created = live["metadata"].get("creationTimestamp")
    age = (case.event.detected_at - manifests.time_of(created)).total_seconds() if created else _NEW_SECONDS
    if ref.kind not in REMOVABLE or age >= _NEW_SECONDS:
        raise CannotPlan(f"Nobody remembers {ref} in another state.")
    return Blueprint(
        f"Take {ref.kind} {ref.name} away again",
        f"{ref.kind} {ref.name} was made shortly before the fault; without it, it was well.",
        (Step(ActionName.RESTORE_OBJECT, ref, {"remove": True, "event": case.event.name}), *carry_on(case)),
        restores=True,
        seconds=15,
        changed_seconds=max(0.0, age),
    )


def _have_it_read(case: Case, ref: ObjectRef) -> list[Step]:
    """Programs read a ConfigMap when they start: those that use it are restarted, where they run."""
    if ref.kind != "ConfigMap":
        return []
    found: list[Step] = []
    for kind in sorted(WORKLOAD_KINDS):
        for obj in case.cluster.list(kind, ref.namespace, timeout_seconds=case.seconds).items:
            workload = Workload.of(obj, kind)
            uses = any((k, n) == ("ConfigMap", ref.name) for k, n, _ in revisions.references(workload.template))
            if uses and not workload.is_paused and workload.desired:
                found.append(Step(ActionName.RESTART, workload.ref, {"at": stamp()}))
    return found[:5]


def recreate_missing(case: Case) -> Blueprint:
    """What was deleted, and is known, is made anew."""
    for ref in _missing(case):
        known = known_states.last_of(case.event.cluster, ref, before=case.event.detected_at)
        if known is None:
            continue
        return Blueprint(
            f"Make {ref.kind} {ref.name} anew",
            f"{ref.kind} {ref.name} was there at {known.last_seen_at:%H:%M:%S} UTC, and was deleted since.",
            (
                Step(ActionName.RECREATE_MISSING, ref, {"state": known.pk, "event": case.event.name}),
                *carry_on(case),
            ),
            restores=True,
            seconds=15,
            changed_seconds=max(0.0, (case.event.detected_at - known.last_seen_at).total_seconds()),
        )
    raise CannotPlan("Nothing that the finding names was deleted and is remembered.")


def _missing(case: Case) -> Iterator[ObjectRef]:
    """What the finding is about or names, and does not exist."""
    finding = case.finding
    namespace = finding.object.namespace or case.target.namespace
    named = [finding.object, *(ObjectRef(k, namespace, str(case.fact(f, ""))) for f, k in _NAMED.items())]
    named += _behind(case)
    for ref in dict.fromkeys(ObjectRef(r.kind, r.namespace, r.name.rsplit("/", 1)[-1]) for r in named):
        if ref.kind not in RECREATABLE or not ref.name:
            continue
        try:
            case.cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=case.seconds)
        except NotFound:
            yield ref
        except Forbidden:
            continue


def _behind(case: Case) -> list[ObjectRef]:
    """What stood behind the Service that has nobody behind it."""
    if case.finding.cause != "ServiceWithoutEndpoints":
        return []
    selector = {str(key): str(value) for key, value in case.fact("selector", {}).items()}
    namespace = case.finding.object.namespace or case.target.namespace
    return known_states.selected_by(case.event.cluster, namespace, selector, before=case.event.detected_at)
