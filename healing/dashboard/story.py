"""The event in two sentences, as a colleague would tell it, from what is on record and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _, ngettext

from healing.dashboard import words
from healing.dashboard.decision_view import DecisionView
from healing.dashboard.plans import StrategyView
from healing.diagnosis.catalogue import CAUSES
from healing.lifecycle import Outcome, Phase
from healing.models import Approval, ApprovalState, HealingEvent

#: Below it a diagnosis is told as a guess.
_SURE = 0.75
_Permission = Literal["", "approved", "chosen"]


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
    return [_why(event, _what(event)), _then(event, strategy, approvals, healing_seconds, waited_seconds)]


def to_do(event: HealingEvent, approval: Approval | None, may: DecisionView) -> ToDo | None:
    """None: nothing, and nothing has to be said about it."""
    if may.takeover is not None and may.takeover.claimed_at is None:
        if may.may_end_takeover:
            text = _("You may fix it by hand now. Then say what you did, or give it back.")
            return ToDo(text, is_mine=True, anchor="decision")
        return ToDo(_("%(name)s has it in hand; nothing is for you to do.") % {"name": may.takeover.by_name})
    if approval is not None:
        if may.is_held:
            text = _("%(name)s holds the decision. It goes on when the hold ends.")
            return ToDo(text % {"name": approval.held_by_name}, anchor="decision")
        if may.has_approved:
            return ToDo(_("You have agreed; somebody else has to as well."), anchor="decision")
        if may.why_not_decide:
            return ToDo(_("A person who may decide here has to answer. You may not."), anchor="decision")
        if may.why_not_approve:
            return ToDo(_("Somebody else has to approve it; you may still reject it."), anchor="decision")
        text = _("You decide: read what it would change, then approve or reject it.")
        return ToDo(text, is_mine=True, anchor="decision")
    match event.outcome:
        case Outcome.ESCALATED:
            anchor = "diagnosis" if event.diagnosis.get("findings") else ""
            text = _("A person has to go on from here. The diagnosis and all that was tried stand below.")
            return ToDo(text, is_mine=True, anchor=anchor)
        case Outcome.FAILED:
            text = _("Look at the workload yourself: ReCiSt could not finish. The timeline says how far it came.")
            return ToDo(text, is_mine=True)
        case _ if event.finished_at and event.knowledge_ref and event.outcome != Outcome.DECLINED:
            text = _("Nothing to do. If the cause or the fix was wrong, say so: it counts the next time.")
            return ToDo(text, anchor="similar")
        case _ if event.finished_at:
            return ToDo(_("Nothing to do."))
        case _:
            return ToDo(_("Nothing to do yet: ReCiSt is at it."))


def _what(event: HealingEvent) -> str:
    """Who has what, without a full stop."""
    values = {
        "target": words.target_words(event.target_kind, event.target_namespace, event.target_name),
        "symptom": words.symptom_words(event.symptom),
        "count": event.occurrences,
    }
    if event.occurrences <= 1:
        return _("%(target)s %(symptom)s") % values
    text = ngettext(
        "%(target)s %(symptom)s (seen %(count)s time)",
        "%(target)s %(symptom)s (seen %(count)s times)",
        event.occurrences,
    )
    return text % values


def _why(event: HealingEvent, what: str) -> str:
    """The sentence that begins with ``what``."""
    if not event.cause:
        looking = event.phase in (Phase.PENDING, Phase.CONTAINING, Phase.DIAGNOSING)
        text = _("%(what)s; the cause is not known yet.") if looking else _("%(what)s; no cause could be named.")
        return text % {"what": what}
    confidence = event.confidence or 0.0
    known = CAUSES.get(event.cause)
    cause = _continue(known.title) if known else words.humanize(event.cause)
    where = words.reference_words(event.cause_object)
    if where and where != words.target_words(event.target_kind, event.target_namespace, event.target_name):
        cause = _("%(cause)s at %(where)s") % {"cause": cause, "where": where}
    if confidence >= _SURE:
        text = (
            _("%(what)s: %(cause)s (%(sure)s sure).")
            if known
            else _("%(what)s: the cause is %(cause)s (%(sure)s sure).")
        )
    else:
        text = (
            _("%(what)s, perhaps because %(cause)s: only %(sure)s sure.")
            if known
            else _("%(what)s; perhaps the cause is %(cause)s, but that is only %(sure)s sure.")
        )
    return text % {"what": what, "cause": cause, "sure": words.percent(confidence)}


def _then(
    event: HealingEvent,
    strategy: StrategyView | None,
    approvals: Sequence[Approval],
    healing_seconds: float,
    waited_seconds: float,
) -> str:
    plan = _("“%(title)s”") % {"title": strategy.row.title} if strategy else _("the plan")
    match Phase(event.phase):
        case Phase.PENDING | Phase.CONTAINING:
            return _("ReCiSt is stopping the bleeding.")
        case Phase.DIAGNOSING:
            return _("It is contained as far as it can be; ReCiSt is gathering evidence for the cause.")
        case Phase.PLANNING if event.attempt > 1:
            text = _("The last attempt did not help; micro-agents are arguing about attempt %(number)s.")
            return text % {"number": event.attempt}
        case Phase.PLANNING:
            return _("Micro-agents are arguing about what to do.")
        case Phase.AWAITING_APPROVAL:
            reason = next((a.reason for a in approvals if a.state == ApprovalState.OPEN and a.reason), "")
            if reason:
                text = _("ReCiSt proposes %(plan)s and waits for a person: %(reason)s.")
                return text % {"plan": plan, "reason": _continue(reason)}
            return _("ReCiSt proposes %(plan)s and waits for a person.") % {"plan": plan}
        case Phase.HEALING:
            return _carrying_out(plan, *_permission(approvals))
        case Phase.VERIFYING:
            return _checking(plan, *_permission(approvals))
        case Phase.LEARNING if not event.outcome:
            return _("ReCiSt is writing down what it learned.")
        case _:
            return _end(event, plan, approvals, healing_seconds, waited_seconds)


def _carrying_out(plan: str, how: _Permission, who: str) -> str:
    texts = {
        "": _("ReCiSt is carrying out %(plan)s."),
        "approved": _("ReCiSt is carrying out %(plan)s after %(who)s approved it."),
        "chosen": _("ReCiSt is carrying out %(plan)s, chosen by %(who)s."),
    }
    return texts[how] % {"plan": plan, "who": who}


def _checking(plan: str, how: _Permission, who: str) -> str:
    texts = {
        "": _("%(plan)s was carried out; ReCiSt is checking whether it helped."),
        "approved": _("%(plan)s was carried out after %(who)s approved it; ReCiSt is checking whether it helped."),
        "chosen": _("%(plan)s was carried out, chosen by %(who)s; ReCiSt is checking whether it helped."),
    }
    return texts[how] % {"plan": plan, "who": who}


def _healed(plan: str, how: _Permission, who: str, took: str) -> str:
    texts = {
        "": _("%(plan)s healed it, verified after %(took)s."),
        "approved": _("%(plan)s healed it after %(who)s approved it, verified after %(took)s."),
        "chosen": _("%(plan)s healed it, chosen by %(who)s, verified after %(took)s."),
    }
    return texts[how] % {"plan": plan, "who": who, "took": took}


def _end(
    event: HealingEvent, plan: str, approvals: Sequence[Approval], healing_seconds: float, waited_seconds: float
) -> str:
    took = words.duration(healing_seconds)
    reason = _continue(event.outcome_reason)
    match event.outcome:
        case Outcome.HEALED:
            if waited_seconds >= 1:
                text = _("%(took)s, not counting %(waited)s of waiting for a person")
                took = text % {"took": took, "waited": words.duration(waited_seconds)}
            return _healed(plan, *_permission(approvals), took)
        case Outcome.RECOVERED:
            return _("It went away by itself after %(took)s; nothing had to be done.") % {"took": took}
        case Outcome.DECLINED:
            return words.sentence(event.outcome_reason) or _("A person decided that nothing is done.")
        case Outcome.ESCALATED if reason:
            return _("A person has to take over: %(reason)s.") % {"reason": reason}
        case Outcome.ESCALATED:
            return _("A person has to take over: nothing more could be done safely.")
        case _ if reason:
            return _("ReCiSt could not process it: %(reason)s.") % {"reason": reason}
        case _:
            return _("ReCiSt could not process it: no reason was recorded.")


def _permission(approvals: Sequence[Approval]) -> tuple[_Permission, str]:
    """How a person let it happen, and who."""
    for approval in approvals:
        if approval.decided_by_name and approval.state == ApprovalState.APPROVED:
            return "approved", approval.decided_by_name
        if approval.decided_by_name and approval.state == ApprovalState.OVERRIDDEN:
            return "chosen", approval.decided_by_name
    return "", ""


def _continue(text: str) -> str:
    """Text that goes on after a colon."""
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
