"""Strategies that change a workload or replace its pods."""

from __future__ import annotations

from healing.actions import known_states, revisions
from healing.actions.base import CannotPlan
from healing.actions.labels import QUARANTINE
from healing.actions.reading import Workload, controller_of, failing_reasons, is_ready, waiting_reasons
from healing.actions.restart import stamp
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef


def rollback(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    good = case.last_good(workload)
    ref = workload.ref
    return Blueprint(
        f"Roll {ref.name} back to revision {good.revision.number}",
        f"Revision {good.current.number} is at fault or came with the fault; of revision {good.revision.number}, "
        f"{good.reason}.",
        (Step(ActionName.ROLLBACK, ref, {"toRevision": good.revision.number}), *out_of_the_way(case, workload)),
        restores=True,
        seconds=20,
    )


def out_of_the_way(case: Case, workload: Workload) -> list[Step]:
    """A StatefulSet waits for a failing pod to become ready before it replaces it, so it would wait for ever."""
    spec = workload.obj["spec"]
    if workload.ref.kind != "StatefulSet" or spec.get("podManagementPolicy") == "Parallel":
        return []
    if ActionName.DELETE_STUCK_POD not in case.policy.allowed_actions:
        return []
    pods = workload.pods(case.cluster, timeout_seconds=case.seconds)
    failing = [pod for pod in pods if failing_reasons(pod)]
    return [Step(ActionName.DELETE_STUCK_POD, ObjectRef.of(pod, "Pod"), {}) for pod in failing[:3]]


def restart(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    _check_helps(case, workload)
    return Blueprint(
        f"Restart all pods of {workload.ref.name}",
        "A fresh start clears what a process has piled up; template and configuration stay as they are.",
        (Step(ActionName.RESTART, workload.ref, {"at": stamp()}),),
        restores=False,
        seconds=20,
    )


def claims_of(workload: Workload) -> list[str]:
    """Names of what keeps data when a pod goes: claims of the template, and templates of a StatefulSet's claims."""
    volumes = workload.template["spec"].get("volumes") or ()
    named = [v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")]
    return [*named, *(t["metadata"]["name"] for t in workload.obj["spec"].get("volumeClaimTemplates") or ())]


def _check_helps(case: Case, workload: Workload) -> None:
    """A fresh start empties what dies with the pod, and nothing else; a full database is slow or broken to start."""
    if case.finding.cause == "DiskFull" and claims_of(workload):
        raise CannotPlan(f"What fills the volume of {workload.ref} would still be there after a restart.")


def evict_pod(case: Case) -> Blueprint:
    workload = case.workload()
    _check_helps(case, workload)
    names = {str(name).rsplit("/", 1)[-1] for name in case.fact("pods", ())}
    names = names or {case.event.subject.get("name", "")}
    pods = workload.pods(case.cluster, timeout_seconds=case.seconds)
    named = [pod for pod in pods if pod["metadata"]["name"] in names]
    replaced = [pod for pod in _replaced(case) if pod["metadata"]["name"] in names]
    if replaced:
        shown = ", ".join(pod["metadata"]["name"] for pod in replaced)
        return Blueprint(
            f"Remove the isolated pod {shown}: a new one has taken its place",
            "Only this pod showed the fault; it gets no traffic any more, and its siblings are well.",
            tuple(Step(ActionName.RELEASE, ObjectRef.of(pod, "Pod"), {"event": case.event.name}) for pod in replaced),
            restores=False,
            seconds=5,
        )
    if not named:
        raise CannotPlan("The pod that showed the fault has gone already.")
    if len(named) == len(pods) and len(pods) > 1:
        raise CannotPlan("All pods show the fault: replacing one of them is not enough.")
    siblings = [pod for pod in pods if pod not in named]
    if siblings and not any(is_ready(pod) for pod in siblings):
        raise CannotPlan("None of its siblings is ready either: replacing one of them is not enough.")
    ref = ObjectRef.of(named[0], "Pod")
    return Blueprint(
        f"Replace pod {ref.name}",
        "Only this pod shows the fault; its siblings do not.",
        (Step(ActionName.EVICT, ref, {}),),
        restores=False,
        seconds=10,
    )


def _replaced(case: Case) -> list[Object]:
    """Pods that this event isolated and that their ReplicaSet has replaced since."""
    isolated = case.cluster.list(
        "Pod",
        case.target.namespace,
        label_selector=f"{QUARANTINE}={case.event.name}",
        timeout_seconds=case.seconds,
    ).items
    return [pod for pod in isolated if controller_of(pod) is None and "deletionTimestamp" not in pod["metadata"]]


def scale_out(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    now = workload.desired
    if now == 0:
        raise CannotPlan(f"{workload.ref} is scaled to zero.")
    suggested = case.fact("suggested_replicas")
    if workload.ref.kind == "StatefulSet" and not suggested:
        raise CannotPlan(f"More replicas of {workload.ref} do not share its load by themselves: it has state.")
    if workload.ref.name != case.target.name and not suggested:
        raise CannotPlan(f"Nothing says that {workload.ref} has too much to do.")
    wanted = max(now + 1, min(int(suggested), now * 3)) if suggested else now + max(1, (now + 1) // 2)
    return Blueprint(
        f"Scale {workload.ref.name} out to {wanted} replicas",
        f"{now} replicas share the load now.",
        (Step(ActionName.SCALE, workload.ref, {"replicas": wanted}),),
        restores=False,
        seconds=15,
    )


def restore_replicas(case: Case) -> Blueprint:
    workload = case.workload()
    suggested = case.fact("suggested_replicas")
    suggested = suggested or known_states.had_replicas(case.event.cluster, workload.ref, before=case.event.detected_at)
    if not suggested:
        raise CannotPlan(f"Nobody knows how many replicas {workload.ref} had before.")
    return Blueprint(
        f"Scale {workload.ref.name} back to {int(suggested)} replicas",
        f"It had {int(suggested)} before; now it is {workload.desired}.",
        (Step(ActionName.SCALE, workload.ref, {"replicas": int(suggested)}),),
        restores=True,
        seconds=15,
    )


def resume_rollout(case: Case) -> Blueprint:
    workload = case.workload()
    if not workload.is_paused:
        raise CannotPlan(f"The rollout of {workload.ref} is not paused.")
    kept = revisions.of_workload(case.cluster, workload, timeout_seconds=case.seconds)
    now = revisions.current(workload, kept)
    step = Step(ActionName.RESUME_ROLLOUT, workload.ref, {})
    if workload.paused_by_event and now.name != revisions.UNRELEASED:
        if not now.is_serving or _fails_anywhere(case, workload):
            raise CannotPlan("We paused it ourselves, because the pods of its template fail.")
        return Blueprint(
            f"Let the rollout of {workload.ref.name} go on",
            "We paused it because its new pods failed; by now they serve.",
            (step,),
            restores=True,
            seconds=20,
        )
    return Blueprint(
        f"Let the newest template of {workload.ref.name} roll out",
        "Somebody has changed the template since its rollout was paused; it has not been tried yet.",
        (step,),
        restores=False,
        seconds=20,
    )


def _fails_anywhere(case: Case, workload: Workload) -> bool:
    pods = workload.pods(case.cluster, timeout_seconds=case.seconds)
    return any(waiting_reasons([pod]) or not is_ready(pod) for pod in pods)
