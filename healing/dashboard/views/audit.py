"""The audit trail, for admins."""

from __future__ import annotations

from typing import cast

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability, why_not
from healing.audit import Actor, chain, record, search
from healing.audit.export import download
from healing.dashboard.requests import PageRequest, needs, refused
from healing.models import AuditEntry

PAGE_SIZE = 100


@never_cache
@needs(Capability.ADMIN)
@require_safe
def entries(request: PageRequest) -> HttpResponse:
    """Search, a page at a time, newest first; `?verify=1` walks the chain."""
    if refusal := why_not(request.user, Capability.ADMIN):
        return refused(request, refusal)
    error = ""
    try:
        wanted = search.Search.parse(request.GET.dict())
    except search.BadSearch as problem:
        wanted, error = search.Search(), str(problem)
    rows = wanted.apply(AuditEntry.objects.all())
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 18:
        rows = rows.filter(seq__lt=int(before))
    found = list(rows.order_by("-seq")[: PAGE_SIZE + 1])
    verdict = None
    if request.GET.get("verify"):
        broken = chain.first_break(AuditEntry.objects.order_by("seq").iterator(chunk_size=1000))
        verdict = broken.says if broken else ""
    context = {
        "entries": found[:PAGE_SIZE],
        "wanted": wanted,
        "typed": request.GET,
        "error": error,
        "verdict": verdict,
        "head": AuditEntry.objects.order_by("-seq").first(),
        "query": urlencode(wanted.values()),
        "next": found[PAGE_SIZE - 1].seq if len(found) > PAGE_SIZE else None,
        "areas": sorted({name.partition(".")[0] for name in _actions()}),
    }
    return render(request, "dashboard/audit/page.html", context)


@never_cache
@needs(Capability.ADMIN)
@require_safe
def export(request: PageRequest, kind: str) -> HttpResponse:
    """Download what the search finds, as CSV or JSON lines."""
    if refusal := why_not(request.user, Capability.ADMIN):
        return refused(request, refusal)
    if kind not in ("csv", "jsonl"):
        raise Http404("There is export.csv and export.jsonl.")
    try:
        wanted = search.Search.parse(request.GET.dict())
    except search.BadSearch as problem:
        raise Http404(str(problem)) from problem
    record("audit.exported", actor=Actor.of_request(request), data={"kind": kind, **wanted.values()})
    return cast("HttpResponse", download(kind, wanted))  # streamed


def _actions() -> list[str]:
    return list(AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct()[:500])
