"""The memory: search, one entry, what people say of it, notes, topics, success by strategy, postmortems."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.http import Http404
from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from healing import teaching
from healing.access import Capability, grants_of
from healing.api.auth import ApiRequest, require
from healing.api.errors import Problem, declared
from healing.api.schemas import CamelSchema
from healing.audit import Actor
from healing.dashboard import knowledge_postmortem, knowledge_view as view
from healing.dashboard.event_view import load_event
from knowledge import insight
from knowledge.models import KnowledgeEntry, Topic

router = Router(tags=["knowledge"], by_alias=True)

_CHANGE = declared(400, 401, 403, 404, 409, 422, 429)


class Tried(CamelSchema):
    strategy: str
    outcome: str
    title: str = ""
    reason: str = ""


class EntryItem(CamelSchema):
    """``cause``: as corrected, else as diagnosed. ``similarity``: cosine; null without a search by meaning."""

    ref: str
    kind: str
    event: str | None
    cluster: str
    namespace: str
    workload: str
    symptom: str
    cause: str
    diagnosed_cause: str
    title: str
    text: str
    outcome: str
    strategies: list[Tried]
    duration_seconds: float | None
    occurred_at: datetime
    occurrences: int
    version: int
    flags: list[str]
    imported_from: str
    topic: str | None
    similarity: float | None = None


class EntryPage(CamelSchema):
    """``byMeaning`` false for a search: no worker answered, entries were found by their words."""

    items: list[EntryItem]
    by_meaning: bool
    next: int | None


class Said(CamelSchema):
    by: str
    about: str
    is_right: bool
    corrected_cause: str
    note: str
    at: datetime


class EntryDetail(EntryItem):
    lessons: list[Said]
    recalled_for: list[str]


class Lesson(CamelSchema):
    """A word on an entry. ``correctedCause`` goes with a root cause that is wrong."""

    about: Literal["cause", "fix"]
    is_right: bool
    corrected_cause: Annotated[str, Field(max_length=63)] = ""
    note: Annotated[str, Field(max_length=2000)] = ""


class Note(CamelSchema):
    """Empty cluster and namespace: for everywhere."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    cluster: Annotated[str, Field(max_length=63)] = ""
    namespace: Annotated[str, Field(max_length=63)] = ""
    cause: Annotated[str, Field(max_length=63)] = ""


class NoteChange(CamelSchema):
    """``version``: the one that was read; another one is a conflict."""

    version: int
    title: Annotated[str, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    cause: Annotated[str, Field(max_length=63)] = ""


class TopicItem(CamelSchema):
    id: int
    name: str
    named_by: str
    entries: int
    first_seen_at: datetime
    last_seen_at: datetime


class TopicName(CamelSchema):
    name: Annotated[str, Field(min_length=1, max_length=120)]


class SuccessItem(CamelSchema):
    """``probability``: mean of a Beta posterior over weighed trials, ``deviation`` its standard deviation."""

    strategy: str
    cause: str
    succeeded: int
    tried: int
    probability: float
    deviation: float


class PostmortemText(CamelSchema):
    """``version`` 0: computed from the record."""

    markdown: Annotated[str, Field(max_length=100_000)]
    version: int


@router.get("/entries", response={200: EntryPage, **declared(401, 403, 422, 429)})
def search(
    request: ApiRequest,
    text: Annotated[str, Query(max_length=2000)] = "",
    cluster: str = "",
    namespace: str = "",
    cause: str = "",
    outcome: str = "",
    topic: str = "",
    kind: str = "",
    before: str = "",
) -> EntryPage:
    """By meaning where there is a text, else the newest. `before`: the `next` of the former page."""
    filters = {
        "cluster": cluster, "namespace": namespace, "cause": cause, "outcome": outcome, "topic": topic, "kind": kind
    }  # fmt: skip
    clean = {name: value.replace("\0", "") for name, value in filters.items()}
    found = view.results(grants_of(request.auth), " ".join(text.split()), clean, before)
    items = [EntryItem(**_item(hit.entry, hit.similarity)) for hit in found.hits]
    return EntryPage(items=items, by_meaning=found.by_meaning, next=found.next_before)


@router.get("/entries/{ref}", response={200: EntryDetail, **declared(401, 403, 404, 429)})
def get_entry(request: ApiRequest, ref: str) -> EntryDetail:
    """What happened, what people said, what it was recalled for."""
    return _detail(request, ref)


@router.post("/entries/{ref}/lessons", response={201: EntryDetail, **_CHANGE})
def teach(request: ApiRequest, ref: str, lesson: Lesson) -> Status[EntryDetail]:
    """Right or wrong. It counts from the next healing on."""
    _known(request, ref)
    with _problems():
        teaching.judge(
            request.auth,
            Actor.of_request(request),
            ref,
            about=lesson.about,
            is_right=lesson.is_right,
            corrected_cause=lesson.corrected_cause,
            note=lesson.note,
        )
    return Status(HTTPStatus.CREATED, _detail(request, ref))


@router.post("/notes", response={201: EntryDetail, **_CHANGE})
def write_note(request: ApiRequest, note: Note) -> Status[EntryDetail]:
    """A runbook note; recall finds it like an event."""
    with _problems():
        entry = teaching.write_note(request.auth, Actor.of_request(request), **note.dict())
    return Status(HTTPStatus.CREATED, _detail(request, entry.ref))


@router.put("/notes/{ref}", response={200: EntryDetail, **_CHANGE})
def edit_note(request: ApiRequest, ref: str, note: NoteChange) -> EntryDetail:
    """409: somebody else was faster."""
    _known(request, ref)
    with _problems():
        teaching.edit_note(request.auth, Actor.of_request(request), ref, **note.dict())
    return _detail(request, ref)


@router.delete("/notes/{ref}", response={204: None, **_CHANGE})
def remove_note(request: ApiRequest, ref: str) -> Status[None]:
    """Its text stays on the audit trail."""
    _known(request, ref)
    with _problems():
        teaching.remove_note(request.auth, Actor.of_request(request), ref)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get("/topics", response={200: list[TopicItem], **declared(401, 403, 429)})
def list_topics(request: ApiRequest) -> list[TopicItem]:
    """The largest first; only those with entries that the caller may see."""
    return [_topic(b.topic, b.count) for b in view.bubbles(grants_of(request.auth))]


@router.put("/topics/{topic_id}", response={200: TopicItem, **_CHANGE})
def rename_topic(request: ApiRequest, topic_id: int, name: TopicName) -> TopicItem:
    """The name stays when topics are computed anew."""
    with _problems():
        topic = teaching.rename_topic(request.auth, Actor.of_request(request), topic_id, name.name)
    return _topic(topic, topic.size)


@router.get("/success", response={200: list[SuccessItem], **declared(401, 403, 429)})
def success(request: ApiRequest) -> list[SuccessItem]:
    """By strategy and cause, the most tried first."""
    place = grants_of(request.auth).places(Capability.VIEW, cluster="cluster", namespace="namespace")
    return [
        SuccessItem(
            strategy=row.strategy,
            cause=row.cause,
            succeeded=row.count.succeeded,
            tried=row.count.tried,
            probability=round(row.count.probability, 4),
            deviation=round(row.count.deviation, 4),
        )
        for row in insight.success_by_strategy(place)
    ]


@router.get("/postmortems/{name}", response={200: PostmortemText, **declared(401, 403, 404, 429)})
def get_postmortem(request: ApiRequest, name: str) -> PostmortemText:
    """As a person has edited it, else computed from the record."""
    found = load_event(name, request.auth) if "\0" not in name else None
    if found is None:
        raise Http404("There is no event of that name.")
    require(request.auth, Capability.VIEW, cluster=found.event.cluster, namespace=found.event.target_namespace)
    markdown, version, _ = knowledge_postmortem.current(found)
    return PostmortemText(markdown=markdown, version=version)


@router.put("/postmortems/{name}", response={200: PostmortemText, **_CHANGE})
def put_postmortem(request: ApiRequest, name: str, text: PostmortemText) -> PostmortemText:
    """`version`: the one that was read; 409 where somebody else was faster."""
    found = load_event(name, request.auth) if "\0" not in name else None
    if found is None:
        raise Http404("There is no event of that name.")
    with _problems():
        row = teaching.save_postmortem(
            request.auth, Actor.of_request(request), found.event, markdown=text.markdown, version=text.version
        )
    return PostmortemText(markdown=row.markdown, version=row.version)


class _problems:  # noqa: N801 - reads like a function: `with _problems():`
    """What teaching refuses, as the API's problems."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, teaching.NotAllowed):
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", str(error)) from error
        if isinstance(error, teaching.Refused):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error
        if isinstance(error, teaching.Changed):
            raise Problem(HTTPStatus.CONFLICT, "conflict", str(error)) from error
        if isinstance(error, KnowledgeEntry.DoesNotExist | Topic.DoesNotExist):
            raise Http404("It is not there (any more).") from error


def _known(request: ApiRequest, ref: str) -> None:
    if "\0" in ref or not view.visible(grants_of(request.auth)).filter(ref=ref).exists():
        raise Http404("There is no such entry.")


def _detail(request: ApiRequest, ref: str) -> EntryDetail:
    life = view.life(grants_of(request.auth), ref) if "\0" not in ref else None
    if life is None:
        raise Http404("There is no such entry.")
    lessons = [
        Said(by=o.by, about=o.about, is_right=o.is_right, corrected_cause=o.corrected_cause, note=o.note, at=o.at)
        for o in life.lessons
    ]
    return EntryDetail(**_item(life.entry, None), lessons=lessons, recalled_for=[use.event_ref for use in life.uses])


def _item(entry: KnowledgeEntry, similarity: float | None) -> dict[str, Any]:
    return {
        "ref": entry.ref,
        "kind": str(entry.kind),
        "event": entry.event_ref if entry.kind == "event" else None,
        "cluster": entry.cluster,
        "namespace": entry.namespace,
        "workload": entry.workload,
        "symptom": entry.symptom,
        "cause": entry.named_cause,
        "diagnosed_cause": entry.cause,
        "title": entry.title,
        "text": entry.text,
        "outcome": entry.outcome,
        "strategies": [{name: s.get(name, "") for name in Tried.model_fields} for s in entry.strategies],
        "duration_seconds": entry.duration_seconds,
        "occurred_at": entry.occurred_at,
        "occurrences": entry.occurrences,
        "version": entry.version,
        "flags": [flag["text"] for flag in entry.flags],
        "imported_from": entry.imported_from,
        "topic": entry.topic.name if entry.topic else None,
        "similarity": similarity,
    }


def _topic(topic: Topic, count: int) -> TopicItem:
    return TopicItem(
        id=topic.pk,
        name=topic.name,
        named_by=topic.named_by,
        entries=count,
        first_seen_at=topic.first_seen_at,
        last_seen_at=topic.last_seen_at,
    )
