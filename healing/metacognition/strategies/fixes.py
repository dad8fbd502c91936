"""Strategies that correct one thing: a probe, where pods may run, a quota, a volume's size."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from healing.actions import quantities
from healing.actions.base import CannotPlan
from healing.actions.expand_volume import most_of
from healing.actions.fix_scheduling import with_placement_of
from healing.actions.reading import is_ready
from healing.actions.revisions import without_hash
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.metacognition.strategies.workloads import out_of_the_way
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef

_GROWTH = Decimal("1.5")
#: A volume gets room for so long.
_LASTS_SECONDS = 24 * 3600
#: A probe that gave up too early gets this much more patience.
_PATIENCE = 3


def _probe(case: Case) -> tuple[str, str]:
    container, probe = case.fact("container"), case.fact("probe")
    if not container or not probe:
        raise CannotPlan("The finding names no probe.")
    return str(container), str(probe)


def restore_probe(case: Case) -> Blueprint:
    workload = case.workload()
    name, probe = _probe(case)
    good = case.last_good(workload)
    former = next((c for c in good.revision.template["spec"]["containers"] if c["name"] == name), None)
    if former is None or former.get(probe) == workload.container(name).get(probe):
        raise CannotPlan(f"Revision {good.revision.number} has the same {probe}.")
    parameters = {"container": name, "probe": probe, "fromRevision": good.revision.number}
    return Blueprint(
        f"Give {name} the {probe} of revision {good.revision.number} again",
        "The probe was changed; the rest of the new revision stays.",
        (Step(ActionName.FIX_PROBE, workload.ref, parameters),),
        restores=True,
        seconds=20,
    )


def fix_probe(case: Case) -> Blueprint:
    """What the container really serves, where the finding knows it; more patience where it is only slow."""
    workload = case.workload()
    name, probe = _probe(case)
    spec: dict[str, Any] = workload.container(name).get(probe) or {}
    values: dict[str, Any] = {}
    if case.fact("suggested_port"):
        values["port"] = int(case.fact("suggested_port"))
    if case.fact("suggested_path"):
        values["path"] = str(case.fact("suggested_path"))
    if case.fact("field") == "scheme" and spec.get("httpGet"):
        values["scheme"] = "HTTP" if spec["httpGet"].get("scheme") == "HTTPS" else "HTTPS"
    if case.fact("field") == "timing":
        values["failureThreshold"] = min(60, int(spec.get("failureThreshold", 3)) * _PATIENCE)
        values["timeoutSeconds"] = min(30, max(5, int(spec.get("timeoutSeconds", 1)) * _PATIENCE))
    if not values:
        raise CannotPlan("It is not clear what the probe should ask instead.")
    words = ", ".join(f"{key} {value}" for key, value in values.items())
    return Blueprint(
        f"Let {probe} of {name} ask with {words}",
        "The program is well; the probe asks it the wrong way.",
        (Step(ActionName.FIX_PROBE, workload.ref, {"container": name, "probe": probe, **values}),),
        restores=False,
        seconds=20,
    )


def restore_placement(case: Case) -> Blueprint:
    workload = case.workload()
    good = case.last_good(workload)
    now = without_hash(workload.template)
    if with_placement_of(now, good.revision.template) == now:
        raise CannotPlan(f"Revision {good.revision.number} asks for the same nodes.")
    return Blueprint(
        f"Let pods of {workload.ref.name} run where those of revision {good.revision.number} ran",
        "Selectors, affinity or tolerations were changed; the rest of the new revision stays.",
        (Step(ActionName.FIX_SCHEDULING, workload.ref, {"fromRevision": good.revision.number}),),
        restores=True,
        seconds=20,
    )


def raise_quota(case: Case) -> Blueprint:
    namespace = case.finding.object.namespace or case.target.namespace
    is_quota = case.finding.object.kind == "ResourceQuota"
    name = case.finding.object.name if is_quota else str(case.fact("quota", ""))
    if not name:
        raise CannotPlan("The finding names no quota.")
    quota = case.cluster.get("ResourceQuota", namespace, name, timeout_seconds=case.seconds)
    hard = quota["spec"].get("hard") or {}
    used = (quota.get("status") or {}).get("used") or {}
    each = dict(part.split("=", 1) for part in str(case.fact("requested", "")).split(",") if "=" in part)
    wanted = {
        resource: _more(hard[resource], used.get(resource, "0"), each.get(resource, "0"), _missing_pods(case))
        for resource in case.fact("resources", [case.fact("resource", "")])
        if resource in hard
    }
    if not wanted:
        raise CannotPlan(f"It is not clear of what ResourceQuota {name} should allow more.")
    words = ", ".join(f"{key} to {value}" for key, value in wanted.items())
    return Blueprint(
        f"Raise {words} in ResourceQuota {name}",
        "The namespace has used up what it may use.",
        (Step(ActionName.RAISE_QUOTA, ObjectRef.of(quota, "ResourceQuota"), {"hard": wanted}),),
        restores=False,
        seconds=30,
    )


def _missing_pods(case: Case) -> int:
    try:
        workload = case.workload()
    except CannotPlan:
        return 1
    return max(1, workload.desired - workload.total)


def _more(text: str, used: str, each: str, missing: int) -> str:
    """What the missing pods need, at least half as much again; counts stay counts, bytes become Mi."""
    needed = quantities.parse(used) + quantities.parse(each) * missing
    value = max(needed, quantities.parse(text) * _GROWTH)
    if str(text).isdigit():
        return str(int(value.to_integral_value(rounding="ROUND_CEILING")))
    return quantities.cpu(value) if str(text).endswith("m") else quantities.memory(value)


def expand_volume(case: Case) -> Blueprint:
    claim = _claim(case)
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    size = str(requests.get("storage", "0"))
    ref = ObjectRef.of(claim, "PersistentVolumeClaim")
    wanted, reason = _size(quantities.parse(size), case.fact("volumes", {}).get(ref.name, {}))
    return Blueprint(
        f"Expand volume {ref.name} from {size} to {wanted}",
        f"The volume is full; its class lets it grow while it is in use. {reason}".strip(),
        (Step(ActionName.EXPAND_VOLUME, ref, {"storage": wanted}), *_fresh_start(case)),
        restores=False,
        seconds=40,
    )


def _size(now: Decimal, volume: dict[str, Any]) -> tuple[str, str]:
    """Half as much again, or what lasts a day at the pace it fills at, as far as that may be done; and why."""
    pace = Decimal(str(volume.get("growth_bytes_per_second") or 0))
    lasting = max(now, Decimal(str(volume.get("used_bytes") or 0))) + pace * _LASTS_SECONDS
    wanted = min(max(now * _GROWTH, lasting), most_of(now))
    if not pace:
        return quantities.memory(wanted), ""
    seconds = (wanted - now) / pace
    lasts = f"{seconds / 3600:.0f} h" if seconds >= 7200 else f"{max(Decimal(1), seconds / 60):.0f} min"
    return (
        quantities.memory(wanted),
        f"It fills at {quantities.memory(pace * 60)} a minute: that is room for {lasts}, for somebody to find out why.",
    )


def _only_claim(case: Case) -> str:
    """Of the workload whose disk is full, where there is no doubt which one it is."""
    pods = case.workload().pods(case.cluster, timeout_seconds=case.seconds)
    names = {
        str(volume["persistentVolumeClaim"]["claimName"])
        for pod in pods
        if len(pods) == 1 or not is_ready(pod)
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    }
    if len(names) != 1:
        raise CannotPlan("It is not clear which volume is full.")
    return names.pop()


def _fresh_start(case: Case) -> list[Step]:
    """A pod that crashed because its disk was full waits for minutes until it is tried again."""
    try:
        return out_of_the_way(case, case.workload())
    except CannotPlan:
        return []


def _claim(case: Case) -> Object:
    ref = case.finding.object
    namespace = ref.namespace or case.target.namespace
    name = ref.name if ref.kind == "PersistentVolumeClaim" else str(case.fact("claim", "")).rsplit("/", 1)[-1]
    if not name:
        name = _only_claim(case)
    return case.cluster.get("PersistentVolumeClaim", namespace, name, timeout_seconds=case.seconds)
