"""Approve, reject, override: plain form posts, bound to the digest of the plan on the page."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from healing.approvals import service
from healing.approvals.permissions import why_not_decide
from healing.dashboard.views.event import event_page
from healing.dashboard.views.now import PageRequest
from healing.engine import WrongPhase
from healing.models import Approval

MAX_COMMENT_LENGTH = 2000


@login_required
@require_POST
def approve(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Let the proposed strategy run."""

    def decide(comment: str) -> str:
        service.approve(approval_id, by=request.user, digest=request.POST.get("digest", ""), comment=comment)
        return "Approved. ReCiSt is carrying it out."

    return _decide(request, name, approval_id, decide)


@login_required
@require_POST
def reject(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Nothing is done; a reason is required."""

    def decide(comment: str) -> str:
        service.reject(approval_id, by=request.user, comment=comment, digest=request.POST.get("digest", ""))
        return "Rejected. Nothing is done to the workload."

    return _decide(request, name, approval_id, decide)


@login_required
@require_POST
def override(request: PageRequest, name: str, approval_id: int) -> HttpResponse:
    """Run another strategy of the same attempt. The button's value is ``<strategy id>:<digest of its plan>``."""

    def decide(comment: str) -> str:
        strategy, _, digest = request.POST.get("choice", "").partition(":")
        if not strategy.isascii() or not strategy.isdigit() or len(strategy) > 18:
            raise service.DecisionError("Choose one of the alternatives.")
        service.override(approval_id, by=request.user, strategy_id=int(strategy), digest=digest, comment=comment)
        return "Your choice is being carried out."

    return _decide(request, name, approval_id, decide)


def _decide(request: PageRequest, name: str, approval_id: int, decide: Callable[[str], str]) -> HttpResponse:
    comment = " ".join(request.POST.get("comment", "").replace("\0", "").split())
    if refusal := why_not_decide(request.user):
        return event_page(request, name, alert=refusal, status=HTTPStatus.FORBIDDEN)
    if not Approval.objects.filter(pk=approval_id, event__name=name).exists():
        raise Http404("There is no such approval.")
    if len(comment) > MAX_COMMENT_LENGTH:
        text = f"A comment can have {MAX_COMMENT_LENGTH} characters at most; yours has {len(comment)}."
        return event_page(request, name, alert=text, status=HTTPStatus.UNPROCESSABLE_ENTITY, draft=comment)
    try:
        done = decide(comment)
    except (service.AlreadyDecided, service.PlanChanged) as error:
        return event_page(request, name, alert=str(error), status=HTTPStatus.CONFLICT, draft=comment)
    except WrongPhase:
        text = "The event has moved on, so there is nothing to decide any more. This is how it stands now."
        return event_page(request, name, alert=text, status=HTTPStatus.CONFLICT)
    except service.DecisionError as error:
        return event_page(request, name, alert=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY, draft=comment)
    messages.success(request, done)
    return redirect("dashboard:event", name=name)
