"""One decision for a group of events: what waits, all that approving it would do, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from healing.access import Capability
from healing.approvals import bulk, permissions
from healing.audit import Actor
from healing.dashboard.plans import StrategyView
from healing.dashboard.requests import PageRequest, needs
from healing.models import Approval

MAX_COMMENT_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Member:
    """One approval of a group with its whole plan; ``why_not`` empty: this person's approval counts."""

    approval: Approval
    strategy: StrategyView
    why_not: str


@never_cache
@needs(Capability.VIEW)
@require_safe
def groups(request: PageRequest) -> HttpResponse:
    """What waits, grouped by cause and strategy."""
    return render(request, "dashboard/approvals/groups.html", {"groups": bulk.groups(request.user)})


@never_cache
@needs(Capability.VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def group(request: PageRequest) -> HttpResponse:
    """GET `?ids=1,2`: every plan of the group. POST: approve each, bound to the digest of all of them."""
    ids = _ids(request.POST.get("ids", "") if request.method == "POST" else request.GET.get("ids", ""))
    if request.method != "POST":
        return _page(request, ids)
    comment = " ".join(request.POST.get("comment", "").replace("\0", "").split())[:MAX_COMMENT_LENGTH]
    try:
        results = bulk.approve_all(
            ids,
            by=request.user,
            group_digest=request.POST.get("digest", ""),
            comment=comment,
            actor=Actor.of_request(request),
        )
    except bulk.GroupChanged as error:
        return _page(request, ids, alert=str(error), status=HTTPStatus.CONFLICT)
    failed = [result for result in results if result.error]
    context = {"results": results, "failed": failed, "approved": len(results) - len(failed)}
    status = HTTPStatus.FORBIDDEN if failed and len(failed) == len(results) else HTTPStatus.OK
    return render(request, "dashboard/approvals/results.html", context, status=status)


def _page(request: PageRequest, ids: list[int], *, alert: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
    approvals = bulk.chosen(request.user, ids)
    members = [
        Member(approval, StrategyView(approval.strategy), permissions.why_not_approve(request.user, approval))
        for approval in approvals
    ]
    context = {
        "members": members,
        "ids": ",".join(str(approval.pk) for approval in approvals),
        "digest": bulk.digest_of(approvals),
        "countable": sum(not member.why_not for member in members),
        "alert": alert,
    }
    return render(request, "dashboard/approvals/group.html", context, status=status)


def _ids(text: str) -> list[int]:
    parts = [part for part in text.split(",") if part.isascii() and part.isdigit() and len(part) < 18]
    return list(dict.fromkeys(int(part) for part in parts))[: bulk.MAX_GROUP]
