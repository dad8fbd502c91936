"""What people decide on an event's page: plain form posts, bound to the digest of the plan on the page.

Whether somebody may is asked by the services, in the transaction of the decision; a view turns the answer into a page.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _, ngettext
from django.views.decorators.http import require_POST

from healing.access import Capability, grants_of
from healing.approvals import holds, service, takeover, undo
from healing.approvals.errors import AlreadyDecided, AlreadyTaken, AlreadyVoted, DecisionError, Held, NotAllowed
from healing.audit import Actor
from healing.dashboard import parameters
from healing.dashboard.requests import PageRequest, needs
from healing.dashboard.views.event import event_page
from healing.engine import WrongPhase
from healing.models import Approval, ApprovalState, HealingEvent, Strategy

MAX_COMMENT_LENGTH = 2000
_CONFLICTS = (AlreadyDecided, AlreadyVoted, AlreadyTaken, undo.AlreadyTakenBack, Held, service.PlanChanged)


@needs(Capability.VIEW)
@require_POST
def approve(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Agree with the proposed strategy."""

    def decide(comment: str) -> str:
        digest = request.POST.get("digest", "")
        approval = service.approve(
            approval_id, by=request.user, digest=digest, comment=comment, actor=Actor.of_request(request)
        )
        if approval.state == ApprovalState.OPEN:
            text = ngettext(
                "Your approval counts. %(count)s different people are needed: nothing runs before that.",
                "Your approval counts. %(count)s different people are needed: nothing runs before that.",
                approval.required,
            )
            return text % {"count": approval.required}
        return _("Approved. ReCiSt is carrying it out.")

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def reject(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Nothing is done; a reason is required."""

    def decide(comment: str) -> str:
        service.reject(approval_id, by=request.user, comment=comment, actor=Actor.of_request(request))
        return _("Rejected. Nothing is done to the workload.")

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def override(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Run another strategy of the same attempt. The button's value is ``<strategy id>:<digest of its plan>``."""

    def decide(comment: str) -> str:
        strategy_id, digest = _choice(request)
        decided = service.override(
            approval_id,
            by=request.user,
            strategy_id=strategy_id,
            digest=digest,
            comment=comment,
            actor=Actor.of_request(request),
        )
        if decided.state == ApprovalState.OPEN:
            return _("Your choice is proposed. Somebody else has to approve it before it runs.")
        return _("Your choice is being carried out.")

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def edit(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Other parameters for a strategy. The button's value is ``<strategy id>:<digest of its plan>``."""

    def decide(comment: str) -> str:
        strategy_id, digest = _choice(request)
        strategy = Strategy.objects.filter(pk=strategy_id, event__name=name).first()
        if strategy is None:
            raise DecisionError(_("That strategy is not one of the options of this event."))
        service.edit(
            approval_id,
            by=request.user,
            parameters=parameters.read(request.POST.dict(), strategy.steps),
            digest=digest,
            strategy_id=strategy_id,
            comment=comment,
            actor=Actor.of_request(request),
        )
        return _("Your parameters are planned anew against the cluster. The new plan will stand here to be approved.")

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def hold(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Stop the clock for some minutes; a reason is required."""

    def decide(comment: str) -> str:
        minutes = request.POST.get("minutes", "")
        if not minutes.isascii() or not minutes.isdigit() or len(minutes) > 4:
            raise DecisionError(_("Choose for how long."))
        holds.hold(
            approval_id,
            by=request.user,
            seconds=int(minutes) * 60,
            reason=comment,
            actor=Actor.of_request(request),
        )
        text = ngettext(
            "Held for %(count)s minute. Nothing runs and nothing expires meanwhile.",
            "Held for %(count)s minutes. Nothing runs and nothing expires meanwhile.",
            int(minutes),
        )
        return text % {"count": minutes}

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def end_hold(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """The clock goes on."""

    def decide(comment: str) -> str:
        holds.end_hold(approval_id, by=request.user, actor=Actor.of_request(request))
        return _("The hold is over. The clock goes on.")

    return _decide(request, name, approval_id, decide)


@needs(Capability.VIEW)
@require_POST
def take_over(request: PageRequest, name: str) -> HttpResponse:
    """Automation stops for this event."""
    event = _event(request, name)

    def act(comment: str) -> str:
        takeover.take_over(event.pk, by=request.user, reason=comment, actor=Actor.of_request(request))
        return _("It is in your hands: ReCiSt changes nothing more here until you say so.")

    return _act(request, name, act)


@needs(Capability.VIEW)
@require_POST
def give_back(request: PageRequest, name: str) -> HttpResponse:
    """Automation goes on."""
    event = _event(request, name)

    def act(comment: str) -> str:
        takeover.give_back(event.pk, by=request.user, reason=comment, actor=Actor.of_request(request))
        return _("Given back: ReCiSt goes on with it.")

    return _act(request, name, act)


@needs(Capability.VIEW)
@require_POST
def fixed(request: PageRequest, name: str) -> HttpResponse:
    """ "I fixed it": verified like any fix."""
    event = _event(request, name)

    def act(comment: str) -> str:
        takeover.fixed(event.pk, by=request.user, what=comment, actor=Actor.of_request(request))
        return _("Thank you. ReCiSt looks whether it is well.")

    return _act(request, name, act)


@needs(Capability.VIEW)
@require_POST
def undo_action(request: PageRequest, name: str, action_id: int) -> HttpResponse:
    """Take an action back; a reason is required."""
    event = _event(request, name)
    if not event.actions.filter(pk=action_id).exists():
        raise Http404("There is no such action.")

    def act(comment: str) -> str:
        undo.ask(action_id, by=request.user, reason=comment, actor=Actor.of_request(request))
        return _("It is being taken back. The timeline says how it ends.")

    return _act(request, name, act, field=f"why-{action_id}")


def _choice(request: PageRequest) -> tuple[int, str]:
    strategy, _colon, digest = request.POST.get("choice", "").partition(":")
    if not strategy.isascii() or not strategy.isdigit() or len(strategy) > 18:
        raise DecisionError(_("Choose one of the alternatives."))
    return int(strategy), digest


def _event(request: PageRequest, name: str) -> HealingEvent:
    event = HealingEvent.objects.filter(grants_of(request.user).places(Capability.VIEW), name=name).first()
    if event is None:
        raise Http404(f"There is no event {name}.")
    return event


def _decide(request: PageRequest, name: str, approval_id: int, decide: Callable[[str], str]) -> HttpResponse:
    event = _event(request, name)
    if not Approval.objects.filter(pk=approval_id, event=event).exists():
        raise Http404("There is no such approval.")
    return _act(request, name, decide)


def _act(request: PageRequest, name: str, act: Callable[[str], str], field: str = "comment") -> HttpResponse:
    comment = " ".join(request.POST.get(field, "").replace("\0", "").split())
    if len(comment) > MAX_COMMENT_LENGTH:
        text = _("A comment can have %(most)s characters at most; yours has %(length)s.")
        text %= {"most": MAX_COMMENT_LENGTH, "length": len(comment)}
        return event_page(request, name, alert=text, status=HTTPStatus.UNPROCESSABLE_ENTITY, draft=comment)
    try:
        done = act(comment)
    except NotAllowed as error:
        return event_page(request, name, alert=str(error), status=HTTPStatus.FORBIDDEN, draft=comment)
    except _CONFLICTS as error:
        return event_page(request, name, alert=str(error), status=HTTPStatus.CONFLICT, draft=comment)
    except WrongPhase:
        text = _("The event has moved on, so there is nothing to decide any more. This is how it stands now.")
        return event_page(request, name, alert=text, status=HTTPStatus.CONFLICT)
    except DecisionError as error:
        return event_page(request, name, alert=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY, draft=comment)
    messages.success(request, done)
    return redirect("dashboard:event", name=name)
