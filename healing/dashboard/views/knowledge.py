"""The memory's pages: search, an entry's life, notes, topics, what was learned. Texts are sent as normal posts."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from healing import teaching
from healing.access import Capability, grants_of
from healing.audit import Actor
from healing.dashboard import knowledge_view as view
from healing.dashboard.requests import PageRequest, needs, refused
from knowledge.models import KnowledgeEntry, Notice, Topic

_STATUS = {teaching.Refused: HTTPStatus.UNPROCESSABLE_ENTITY, teaching.Changed: HTTPStatus.CONFLICT}


@never_cache
@needs(Capability.VIEW)
@require_safe
def knowledge(request: PageRequest) -> HttpResponse:
    """Search and the newest entries."""
    grants = grants_of(request.user)
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:2000]
    filters = {name: request.GET.get(name, "").replace("\0", "")[:120] for name in view.FILTERS}
    found = view.results(grants, query, filters, request.GET.get("before", ""))
    topic = Topic.objects.filter(pk=filters["topic"]).first() if filters["topic"].isdigit() else None
    context = {
        "results": found,
        "filters": filters,
        "query": query,
        "topic": topic,
        "choices": view.choices(grants),
        "notices": view.notices(),
        "may_write": grants.may_somewhere(Capability.OPERATE),
        "filter_query": "&".join(f"{name}={value}" for name, value in filters.items() if value),
    }
    return render(request, "dashboard/knowledge/search.html", context)


@never_cache
@needs(Capability.VIEW)
@require_safe
def entry(request: PageRequest, ref: str) -> HttpResponse:
    """What happened, what was tried, what people said, when it was recalled."""
    return _entry_page(request, ref)


def _entry_page(
    request: PageRequest, ref: str, *, alert: str = "", status: int = 200, draft: dict[str, str] | None = None
) -> HttpResponse:
    life = view.life(grants_of(request.user), ref)
    if life is None:
        raise Http404("There is no such entry.")
    context = {"life": life, "entry": life.entry, "causes": view.cause_choices(), "alert": alert, "draft": draft or {}}
    return render(request, "dashboard/knowledge/entry.html", context, status=status)


@needs(Capability.OPERATE)
@require_POST
def teach(request: PageRequest, ref: str) -> HttpResponse:
    """Right or wrong, about the root cause or the fix. The button's value is ``<about>:<right|wrong>``."""
    about, _colon, verdict = request.POST.get("verdict", "").partition(":")
    corrected, note = request.POST.get("corrected_cause", ""), request.POST.get("note", "")

    def do() -> HttpResponse:
        if verdict not in ("right", "wrong"):
            raise teaching.Refused(_("Say whether it is right or wrong."))
        is_right = verdict == "right"
        correction = corrected if about == "cause" and not is_right else ""
        actor = Actor.of_request(request)
        teaching.judge(request.user, actor, ref, about=about, is_right=is_right, corrected_cause=correction, note=note)
        messages.success(request, _("Thank you. It counts from the next healing on."))
        return redirect("dashboard:knowledge-entry", ref=ref)

    draft = {"corrected_cause": corrected, "note": note}
    return _answer(
        request, do, lambda alert, status: _entry_page(request, ref, alert=alert, status=status, draft=draft)
    )


@needs(Capability.OPERATE)
@require_http_methods(["GET", "POST"])
def new_note(request: PageRequest) -> HttpResponse:
    """Write a runbook note."""
    fields = {name: request.POST.get(name, "") for name in ("title", "text", "cluster", "namespace", "cause")}
    if request.method == "GET":
        return _note_form(request, fields)

    def do() -> HttpResponse:
        note = teaching.write_note(request.user, Actor.of_request(request), **fields)
        messages.success(request, _("Saved. ReCiSt recalls it when a fault is like it."))
        return redirect("dashboard:knowledge-entry", ref=note.ref)

    return _answer(request, do, lambda alert, status: _note_form(request, fields, alert=alert, status=status))


@needs(Capability.OPERATE)
@require_http_methods(["GET", "POST"])
def edit_note(request: PageRequest, ref: str) -> HttpResponse:
    """Change a note; whoever was faster wins, and the other one's text is not lost."""
    life = view.life(grants_of(request.user), ref)
    if life is None or not life.is_note:
        raise Http404("There is no such note.")
    note = life.entry
    if request.method == "GET":
        return _note_form(request, {"title": note.title, "text": note.text, "cause": note.cause}, note=note)
    fields = {name: request.POST.get(name, "") for name in ("title", "text", "cause")}
    version = request.POST.get("version", "")

    def do() -> HttpResponse:
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else -1
        teaching.edit_note(request.user, Actor.of_request(request), ref, version=number, **fields)
        messages.success(request, _("Saved."))
        return redirect("dashboard:knowledge-entry", ref=ref)

    return _answer(
        request, do, lambda alert, status: _note_form(request, fields, note=note, alert=alert, status=status)
    )


@needs(Capability.OPERATE)
@require_POST
def remove_note(request: PageRequest, ref: str) -> HttpResponse:
    """Take a note out of the memory."""

    def do() -> HttpResponse:
        teaching.remove_note(request.user, Actor.of_request(request), ref)
        messages.success(request, _("Removed. Its text stays on the audit trail."))
        return redirect("dashboard:knowledge")

    return _answer(request, do, lambda alert, status: _entry_page(request, ref, alert=alert, status=status))


@never_cache
@needs(Capability.VIEW)
@require_safe
def topics(request: PageRequest) -> HttpResponse:
    """The map: what lies near each other is alike."""
    return _topics_page(request)


def _topics_page(request: PageRequest, *, alert: str = "", status: int = 200) -> HttpResponse:
    grants = grants_of(request.user)
    bubbles, single = view.folded(view.bubbles(grants))
    context = {
        "bubbles": bubbles,
        "single": single,
        "total": len(bubbles) + len(single),
        "may_rename": grants.may(Capability.OPERATE),
        "alert": alert,
    }
    return render(request, "dashboard/knowledge/topics.html", context, status=status)


@needs(Capability.OPERATE)
@require_POST
def rename_topic(request: PageRequest, topic_id: int) -> HttpResponse:
    """A person's name stays when topics are computed anew."""

    def do() -> HttpResponse:
        teaching.rename_topic(request.user, Actor.of_request(request), topic_id, request.POST.get("name", ""))
        return redirect("dashboard:knowledge-topics")

    return _answer(request, do, lambda alert, status: _topics_page(request, alert=alert, status=status))


@never_cache
@needs(Capability.VIEW)
@require_safe
def learned(request: PageRequest) -> HttpResponse:
    """The last 30 days, and success by strategy."""
    return render(request, "dashboard/knowledge/learned.html", view.month(grants_of(request.user)))


@needs(Capability.OPERATE)
@require_POST
def dismiss_notice(request: PageRequest, notice_id: int) -> HttpResponse:
    """It was seen."""

    def do() -> HttpResponse:
        teaching.dismiss_notice(request.user, Actor.of_request(request), notice_id)
        return redirect("dashboard:knowledge")

    return _answer(request, do, lambda alert, status: refused(request, alert))


def _note_form(
    request: PageRequest,
    fields: dict[str, str],
    *,
    note: KnowledgeEntry | None = None,
    alert: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "fields": {"cluster": "", "namespace": "", **fields},
        "note": note,
        "alert": alert,
        "causes": view.cause_choices(),
        "choices": view.choices(grants_of(request.user)),
    }
    return render(request, "dashboard/knowledge/note.html", context, status=status)


def _answer(
    request: PageRequest, do: Callable[[], HttpResponse], again: Callable[[str, int], HttpResponse]
) -> HttpResponse:
    try:
        return do()
    except teaching.NotAllowed as error:
        return refused(request, str(error))
    except (teaching.Refused, teaching.Changed) as error:
        return again(str(error), _STATUS[type(error)])
    except (KnowledgeEntry.DoesNotExist, Topic.DoesNotExist, Notice.DoesNotExist) as error:
        raise Http404("It is not there any more.") from error
