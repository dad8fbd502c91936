"""The handler of the phase CONTAINING."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction

from healing import shared_clock
from healing.actions import guardrails, registry, temporary
from healing.actions.base import CannotPlan, Plan
from healing.actions.isolate import policy_name
from healing.actions.labels import QUARANTINE
from healing.actions.runner import ActionFailed, Runner, StalePlan, stored_plan
from healing.containment.decide import Measure, decide
from healing.containment.evidence import Evidence
from healing.containment.network import Enforcement, Network
from healing.lifecycle import Phase
from healing.models import ActionState, ActorKind, Isolation
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import ActionName
from healing.ports.errors import SourceError

_CALL_SECONDS = 1.5


def run(context: PhaseContext) -> PhaseResult:
    """Save evidence, then pause, cordon or isolate, where it helps and no limit speaks against it.

    Containment is a help, not a condition: whatever goes wrong is said, and diagnosis begins.
    """
    event = context.event
    situation = guardrails.situation_of(event, shared_clock.now(), is_containment=True)
    if situation.policy.paused or situation.policy.autonomy != "heal":
        reason = "is paused" if situation.policy.paused else f"has autonomy {situation.policy.autonomy}"
        return _go_on([_note("not-contained", f"Nothing is contained: the policy {reason}.")])
    _finish_begun(context)
    try:
        decision = decide(event, situation.policy, context.ports, timeout_seconds=_CALL_SECONDS)
    except SourceError as error:
        return _go_on([_note("not-contained", f"Nothing could be contained: {error}")])
    known = event.timeline.filter(kind="evidence-saved").exists()
    evidence = Evidence(context.ports.cluster, [] if known else decision.pods, context.deadline)
    try:
        for note in evidence.saved():
            context.report(note)
        contained = sum([_carry_out(context, measure, situation, decision.network) for measure in decision.measures])
        for note in evidence.added():
            context.report(note)
    finally:
        evidence.close()
    notes = [_note("not-contained", reason) for reason in decision.not_done]
    return _go_on(notes, result={"measures": len(decision.measures), "contained": contained})


def _finish_begun(context: PhaseContext) -> None:
    """What a lost worker had begun: the cluster may look contained already, so that nobody would decide it again."""
    event = context.event
    runner = Runner(context.ports.cluster, context.deadline, context.check_still_mine)
    for row in event.actions.filter(strategy=None, state=ActionState.APPLYING):
        plan = stored_plan(row)
        try:
            runner.apply(event, plan, key=row.key)
        except (StalePlan, ActionFailed) as error:
            context.report(_note("not-contained", f"{plan.summary} {error}"))
        else:
            data = {"action": row.action, "target": row.target, "actionRun": row.pk, "diff": row.diff}
            context.report(_note("contained", f"{plan.summary} (begun by a worker that did not come back)", data))


def _go_on(notes: list[Note], result: dict[str, int] | None = None) -> PhaseResult:
    return PhaseResult(Phase.DIAGNOSING, notes, {"contained_at": shared_clock.now()}, result=dict(result or {}))


def _carry_out(
    context: PhaseContext, measure: Measure, situation: guardrails.Situation, network: Network | None
) -> bool:
    """Do it; says on the timeline what came of it. `TryLater` is the engine's to repeat."""
    event, cluster = context.event, context.ports.cluster

    def guard(plan: Plan) -> None:
        refusals = guardrails.check(plan, situation, cluster, timeout_seconds=_CALL_SECONDS)
        if refusals:
            raise guardrails.Refused(refusals)

    parameters = measure.parameters
    if measure.action is ActionName.ISOLATE:
        isolation = _write_isolation(context, measure, situation, network)
        if isolation is None:
            return False
        parameters = {**parameters, "until": isolation.expires_at.isoformat(timespec="seconds")}
    try:
        plan = registry.make_plan(cluster, measure.action, measure.target, parameters, timeout_seconds=_CALL_SECONDS)
        plan = temporary.planned(plan, event, situation.policy)
        runner = Runner(cluster, context.deadline, context.check_still_mine)
        key = f"{event.pk}/contain/{measure.action}/{measure.target.uid or measure.target.name}"
        row = runner.apply(event, plan, key=key, guard=guard)
    except guardrails.Refused as refused:
        _forget_isolation(context, measure)
        for refusal in refused.refusals:
            context.report(_note("refused", f"{measure.action}: {refusal}", data=refusal.as_json()))
        return False
    except (CannotPlan, StalePlan, ActionFailed, SourceError) as error:
        _forget_isolation(context, measure)
        context.report(_note("not-contained", f"{measure.action} {measure.target}: {error}"))
        return False
    data = {"action": str(measure.action), "target": measure.target.as_json(), "actionRun": row.pk, "diff": row.diff}
    message = f"{plan.summary} Because {measure.why}."
    if network is not None and measure.action is ActionName.ISOLATE:
        data["network"] = {"enforcement": str(network.enforcement), "why": network.why}
        if network.enforcement is not Enforcement.YES:
            message += f" {network.why}"
    context.report(_note("contained", message, data=data))
    return True


def _write_isolation(
    context: PhaseContext, measure: Measure, situation: guardrails.Situation, network: Network | None
) -> Isolation | None:
    """Written before the pod is touched: whatever happens to this worker, the isolation has an end. None: another event
    has isolated it."""
    event, now, pod = context.event, shared_clock.now(), measure.target
    known = Isolation.objects.filter(event=event, pod_uid=pod.uid, released_at=None).first()
    if known is not None:
        return known
    try:
        with transaction.atomic():
            return Isolation.objects.create(
                event=event,
                cluster=event.cluster,
                namespace=pod.namespace,
                pod_name=pod.name,
                pod_uid=pod.uid,
                mode=measure.parameters["mode"],
                policy_name=policy_name(event.name, pod.name),
                label=f"{QUARANTINE}={event.name}",
                enforcement=network.enforcement if network is not None else Enforcement.UNKNOWN,
                network=network.why[:500] if network is not None else "",
                created_at=now,
                expires_at=now + timedelta(seconds=situation.policy.containment.release_after_seconds),
            )
    except IntegrityError:
        context.report(_note("not-contained", f"{pod} is isolated already, by another event."))
        return None


def _forget_isolation(context: PhaseContext, measure: Measure) -> None:
    if measure.action is ActionName.ISOLATE:
        Isolation.objects.filter(event=context.event, pod_uid=measure.target.uid, released_at=None).delete()


def _note(kind: str, message: str, data: dict[str, object] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="containment")
