"""The web process asks the worker: a search by meaning as a task, its answer as a list in Valkey.

The web process loads no model and no index. Where no worker answers in time the database searches by words, and the
answer says so.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from celery import current_app
from django.db.models import Q
from django.utils import timezone

from knowledge import local
from knowledge.models import KnowledgeEntry
from knowledge.search import matching

log = structlog.get_logger(__name__)

#: A person does not wait longer.
TIMEOUT_SECONDS = 1.5
_KEEP_SECONDS = 30
_FILTERS = ("cluster", "namespace", "cause", "outcome", "topic", "kind")
MAX_QUERY_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """Refs with similarity, best first. ``by_meaning`` False: no worker answered, these were found by words."""

    hits: list[tuple[str, float | None]]
    by_meaning: bool


def search(
    query: str, filters: dict[str, str] | None = None, *, limit: int = 20, timeout_seconds: float = TIMEOUT_SECONDS
) -> Found:
    """Entries that mean something like ``query``, filtered exactly. Never raises for lack of a worker."""
    where = {name: value for name, value in (filters or {}).items() if name in _FILTERS and value}
    query = query.replace("\0", "")[:MAX_QUERY_CHARACTERS]
    hits = ask({"query": query, "where": where, "limit": limit}, timeout_seconds=timeout_seconds)
    if hits is not None:
        return Found([(str(ref), float(similarity)) for ref, similarity in hits], by_meaning=True)
    return Found(by_words(query, where, limit), by_meaning=False)


def ask(question: dict[str, Any], *, timeout_seconds: float) -> list[Any] | None:
    """Put a question to the worker; None where no answer comes in time."""
    reply_to = f"recist:memory:reply:{uuid.uuid4()}"
    until = time.monotonic() + timeout_seconds
    try:
        current_app.send_task(
            "knowledge.tasks.answer",
            args=[reply_to, question],
            queue="knowledge",
            expires=timeout_seconds,
            retry=False,
            ignore_result=True,
        )
        client = local.blocking_client()
        while (left := until - time.monotonic()) > 0:
            found = client.blpop([reply_to], timeout=max(0.05, left))
            if found is not None:
                answer: list[Any] | None = json.loads(found[1])
                return answer
    except Exception as error:  # noqa: BLE001 - kombu and redis raise what their transports raise; words are searched instead
        log.warning("the worker could not be asked", error=f"{type(error).__name__}: {error}")
    return None


def answer(reply_to: str, question: dict[str, Any]) -> None:
    """In the worker: search, and put the answer where it is waited for."""
    from knowledge.memory import recall  # noqa: PLC0415 - workers only

    found = recall(
        str(question["query"]), **question["where"], limit=int(question["limit"]), timeout_seconds=TIMEOUT_SECONDS
    )
    client = local.client()
    with client.pipeline() as pipe:
        pipe.rpush(reply_to, json.dumps([[one.ref, one.similarity] for one in found]))
        pipe.expire(reply_to, _KEEP_SECONDS)
        pipe.execute()


def by_words(query: str, where: dict[str, str], limit: int) -> list[tuple[str, float | None]]:
    """Plain SQL: entries that have every word somewhere, newest first."""
    alive = Q(pinned=True) | Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    rows = KnowledgeEntry.objects.filter(matching(where), alive)
    for word in query.split()[:12]:
        rows = rows.filter(
            Q(text__icontains=word)
            | Q(title__icontains=word)
            | Q(cause__icontains=word)
            | Q(corrected_cause__icontains=word)
            | Q(symptom__icontains=word)
            | Q(event_ref__iexact=word)
        )
    return [(ref, None) for ref in rows.order_by("-occurred_at").values_list("ref", flat=True)[:limit]]
