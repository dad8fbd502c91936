"""The event in two sentences, as a colleague would tell it, from what is on record and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healing.dashboard import words
from healing.dashboard.decision_view import DecisionView
from healing.dashboard.plans import StrategyView
from healing.diagnosis.catalogue import CAUSES
from healing.lifecycle import Outcome, Phase
from healing.models import Approval, ApprovalState, HealingEvent

#: Below it a diagnosis is told as a guess.
_SURE = 0.75


@dataclass(frozen=True, slots=True)
class ToDo:
    """What a person has to do. ``is_mine``: the reader. ``anchor``: where on the page, if there is a place."""

    text: str
    is_mine: bool = False
    anchor: str = ""


def sentences(
    event: HealingEvent,
    strategy: StrategyView | None,
    approvals: Sequence[Approval],
    healing_seconds: float,
    waited_seconds: float,
) -> list[str]:
    """What is wrong and why; what is being done or was done about it."""
    what = f"{words.target_words(event.target_kind, event.target_namespace, event.target_name)} "
    what += words.symptom_words(event.symptom)
    if event.occurrences > 1:
        what += f" (seen {event.occurrences} times)"
    return [f"{what}{_why(event)}", _then(event, strategy, approvals, healing_seconds, waited_seconds)]


def to_do(event: HealingEvent, approval: Approval | None, may: DecisionView) -> ToDo | None:
    """None: nothing, and nothing has to be said about it."""
    if may.takeover is not None and may.takeover.claimed_at is None:
        if may.may_end_takeover:
            return ToDo(
                "You may fix it by hand now. Then say what you did, or give it back.", is_mine=True, anchor="decision"
            )
        return ToDo(f"{may.takeover.by_name} has it in hand; nothing is for you to do.")
    if approval is not None:
        if may.is_held:
            return ToDo(
                f"{approval.held_by_name} holds the decision. It goes on when the hold ends.", anchor="decision"
            )
        if may.has_approved:
            return ToDo("You have agreed; somebody else has to as well.", anchor="decision")
        if may.why_not_decide:
            return ToDo("A person who may decide here has to answer. You may not.", anchor="decision")
        if may.why_not_approve:
            return ToDo("Somebody else has to approve it; you may still reject it.", anchor="decision")
        return ToDo(
            "You decide: read what it would change, then approve or reject it.", is_mine=True, anchor="decision"
        )
    match event.outcome:
        case Outcome.ESCALATED:
            anchor = "diagnosis" if event.diagnosis.get("findings") else ""
            text = "A person has to go on from here. The diagnosis and all that was tried stand below."
            return ToDo(text, is_mine=True, anchor=anchor)
        case Outcome.FAILED:
            return ToDo(
                "Look at the workload yourself: ReCiSt could not finish. The timeline says how far it came.",
                is_mine=True,
            )
        case _ if event.finished_at and event.knowledge_ref and event.outcome != Outcome.DECLINED:
            return ToDo(
                "Nothing to do. If the cause or the fix was wrong, say so: it counts the next time.", anchor="similar"
            )
        case _ if event.finished_at:
            return ToDo("Nothing to do.")
        case _:
            return ToDo("Nothing to do yet: ReCiSt is at it.")


def _why(event: HealingEvent) -> str:
    """Goes on after what is wrong, to the full stop."""
    if not event.cause:
        looking = event.phase in (Phase.PENDING, Phase.CONTAINING, Phase.DIAGNOSING)
        return "; the cause is not known yet." if looking else "; no cause could be named."
    where = words.reference_words(event.cause_object)
    target = words.target_words(event.target_kind, event.target_namespace, event.target_name)
    at = f" at {where}" if where and where != target else ""
    confidence = event.confidence or 0.0
    known = CAUSES.get(event.cause)
    cause = _continue(known.title) if known else f"the cause is {words.humanize(event.cause)}"
    if confidence >= _SURE:
        return f": {cause}{at} ({words.percent(confidence)} sure)."
    return (
        f", perhaps because {cause}{at}: only {words.percent(confidence)} sure."
        if known
        else (f"; perhaps {cause}{at}, but that is only {words.percent(confidence)} sure.")
    )


def _then(
    event: HealingEvent,
    strategy: StrategyView | None,
    approvals: Sequence[Approval],
    healing_seconds: float,
    waited_seconds: float,
) -> str:
    plan = f"“{strategy.row.title}”" if strategy else "the plan"
    match Phase(event.phase):
        case Phase.PENDING | Phase.CONTAINING:
            return "ReCiSt is stopping the bleeding."
        case Phase.DIAGNOSING:
            return "It is contained as far as it can be; ReCiSt is gathering evidence for the cause."
        case Phase.PLANNING if event.attempt > 1:
            return f"The last attempt did not help; micro-agents are arguing about attempt {event.attempt}."
        case Phase.PLANNING:
            return "Micro-agents are arguing about what to do."
        case Phase.AWAITING_APPROVAL:
            reason = next((a.reason for a in approvals if a.state == ApprovalState.OPEN and a.reason), "")
            return f"ReCiSt proposes {plan} and waits for a person" + (f": {_continue(reason)}." if reason else ".")
        case Phase.HEALING:
            return f"ReCiSt is carrying out {plan}{_permission(approvals)}."
        case Phase.VERIFYING:
            return f"{plan} was carried out{_permission(approvals)}; ReCiSt is checking whether it helped."
        case Phase.LEARNING if not event.outcome:
            return "ReCiSt is writing down what it learned."
        case _:
            return _end(event, plan, approvals, healing_seconds, waited_seconds)


def _end(
    event: HealingEvent, plan: str, approvals: Sequence[Approval], healing_seconds: float, waited_seconds: float
) -> str:
    took = words.duration(healing_seconds)
    waited = f", not counting {words.duration(waited_seconds)} of waiting for a person" if waited_seconds >= 1 else ""
    match event.outcome:
        case Outcome.HEALED:
            return f"{plan} healed it{_permission(approvals)}, verified after {took}{waited}."
        case Outcome.RECOVERED:
            return f"It went away by itself after {took}; nothing had to be done."
        case Outcome.DECLINED:
            return words.sentence(event.outcome_reason) or "A person decided that nothing is done."
        case Outcome.ESCALATED:
            return (
                f"A person has to take over: {_continue(event.outcome_reason) or 'nothing more could be done safely'}."
            )
        case _:
            return f"ReCiSt could not process it: {_continue(event.outcome_reason) or 'no reason was recorded'}."


def _permission(approvals: Sequence[Approval]) -> str:
    for approval in approvals:
        if approval.decided_by_name and approval.state == ApprovalState.APPROVED:
            return f" after {approval.decided_by_name} approved it"
        if approval.decided_by_name and approval.state == ApprovalState.OVERRIDDEN:
            return f", chosen by {approval.decided_by_name}"
    return ""


def _continue(text: str) -> str:
    """Text that goes on after a colon."""
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
