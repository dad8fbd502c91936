"""The memory: `remember` an event, `recall` similar ones, count what worked with `success`.

Only workers call `remember` and `recall` (they load the embedding model); `success` is plain SQL. Recall works from
the database where Qdrant is down, and says nothing rather than too late.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import structlog
from celery import current_app
from django.db import transaction
from django.db.models import Count, Q

from knowledge import embeddings, search
from knowledge.models import KnowledgeEntry, Trial
from knowledge.statistics import SuccessCount

log = structlog.get_logger(__name__)

TrialOutcome = Literal["succeeded", "failed", "undone", "refused"]


@dataclass(frozen=True, slots=True)
class TriedStrategy:
    """A strategy of an event. ``refused`` ones never ran and count in no statistics; ``undone`` counts as failed."""

    strategy: str  # the key, e.g. rollback
    outcome: TrialOutcome
    title: str = ""
    reason: str = ""
    actions: tuple[str, ...] = ()
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Experience:
    """An event, as it is to be remembered. ``text`` must be redacted already; it is what is embedded."""

    event_ref: str
    symptom: str
    text: str
    outcome: str
    occurred_at: datetime
    cluster: str = "default"
    namespace: str = ""
    fingerprint: str = ""
    cause: str = ""
    confidence: float | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    topology: Mapping[str, Any] = field(default_factory=dict)
    strategies: Sequence[TriedStrategy] = ()
    outcome_reason: str = ""
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Recollection:
    """A past event that resembles the present one. ``similarity`` is the cosine, -1..1."""

    ref: str
    event_ref: str
    similarity: float
    cluster: str
    namespace: str
    symptom: str
    cause: str
    target: Mapping[str, Any]
    strategies: tuple[TriedStrategy, ...]
    outcome: str
    duration_seconds: float | None
    occurred_at: datetime
    text: str

    @property
    def worked(self) -> str:
        """The strategy that healed it, or empty."""
        return next((s.strategy for s in self.strategies if s.outcome == "succeeded"), "")


def remember(experience: Experience) -> str:
    """Record an event and return the entry's ref; an event recorded before keeps its entry.

    Qdrant is not waited for: the entry is queued (``indexed_at`` is null) and `knowledge.tasks.index_pending` takes
    it there. Until then `recall` finds it in the database.
    """
    known = KnowledgeEntry.objects.filter(event_ref=experience.event_ref).values_list("ref", flat=True).first()
    if known is not None:
        return known
    embedder = embeddings.default_embedder()
    vector = embedder.embed([experience.text])[0]
    with transaction.atomic():
        entry, created = KnowledgeEntry.objects.get_or_create(
            event_ref=experience.event_ref,
            defaults={
                "cluster": experience.cluster,
                "namespace": experience.namespace,
                "fingerprint": experience.fingerprint,
                "symptom": experience.symptom,
                "cause": experience.cause,
                "confidence": experience.confidence,
                "target": dict(experience.target),
                "topology": dict(experience.topology),
                "text": experience.text,
                "strategies": [asdict(tried) for tried in experience.strategies],
                "outcome": experience.outcome,
                "outcome_reason": experience.outcome_reason,
                "duration_seconds": experience.duration_seconds,
                "occurred_at": experience.occurred_at,
                "embedding": embeddings.to_bytes(vector),
                "embedding_model": embedder.name,
                "embedding_dims": embedder.dims,
            },
        )
        if created:
            Trial.objects.bulk_create(_trials(entry, experience))
        transaction.on_commit(_ask_for_indexing)
    return entry.ref


def recall(
    text: str,
    *,
    cluster: str = "",
    namespace: str = "",
    cause: str = "",
    limit: int = 5,
    timeout_seconds: float = 2.0,
) -> list[Recollection]:
    """The past events most like ``text``, best first. Each filter that is not empty must match exactly.

    Raises nothing that has to do with Qdrant; an empty memory is an empty list.
    """
    if not text.strip() or not KnowledgeEntry.objects.exists():
        return []
    filters = {"cluster": cluster, "namespace": namespace, "cause": cause}
    where = {name: value for name, value in filters.items() if value}
    until = time.monotonic() + timeout_seconds
    hits = search.nearest(text, where=where, limit=limit, until=until)
    entries = {entry.pk: entry for entry in KnowledgeEntry.objects.filter(pk__in=[key for key, _ in hits], **where)}
    return [_recollection(entries[key], similarity) for key, similarity in hits if key in entries]


def success(cause: str, strategy: str, *, cluster: str = "", namespace: str = "") -> SuccessCount:
    """How often ``strategy`` worked for ``cause``: in ``namespace`` (of ``cluster``), and everywhere else."""
    return successes(cause, [strategy], cluster=cluster, namespace=namespace)[strategy]


def successes(
    cause: str, strategies: Iterable[str], *, cluster: str = "", namespace: str = ""
) -> dict[str, SuccessCount]:
    """`success` of several strategies in one query."""
    here = Q(namespace=namespace)
    if cluster:
        here &= Q(cluster=cluster)
    wanted = list(strategies)
    rows = (
        Trial.objects.filter(cause=cause, strategy__in=wanted)
        .order_by()
        .values("strategy")
        .annotate(
            here_tried=Count("pk", filter=here),
            here_succeeded=Count("pk", filter=here & Q(succeeded=True)),
            all_tried=Count("pk"),
            all_succeeded=Count("pk", filter=Q(succeeded=True)),
        )
    )
    counts = {
        row["strategy"]: SuccessCount(
            here_succeeded=row["here_succeeded"],
            here_tried=row["here_tried"],
            elsewhere_succeeded=row["all_succeeded"] - row["here_succeeded"],
            elsewhere_tried=row["all_tried"] - row["here_tried"],
        )
        for row in rows
    }
    return {strategy: counts.get(strategy, SuccessCount()) for strategy in wanted}


def _trials(entry: KnowledgeEntry, experience: Experience) -> list[Trial]:
    return [
        Trial(
            entry=entry,
            position=position,
            cluster=experience.cluster,
            namespace=experience.namespace,
            cause=experience.cause,
            strategy=tried.strategy,
            succeeded=tried.outcome == "succeeded",
            at=experience.occurred_at,
        )
        for position, tried in enumerate(experience.strategies)
        if tried.outcome != "refused"
    ]


def _recollection(entry: KnowledgeEntry, similarity: float) -> Recollection:
    return Recollection(
        ref=entry.ref,
        event_ref=entry.event_ref,
        similarity=round(similarity, 4),
        cluster=entry.cluster,
        namespace=entry.namespace,
        symptom=entry.symptom,
        cause=entry.cause,
        target=entry.target,
        strategies=tuple(TriedStrategy(**{**raw, "actions": tuple(raw["actions"])}) for raw in entry.strategies),
        outcome=entry.outcome,
        duration_seconds=entry.duration_seconds,
        occurred_at=entry.occurred_at,
        text=entry.text,
    )


def _ask_for_indexing() -> None:
    try:
        current_app.send_task("knowledge.tasks.index_pending", queue="knowledge", retry=False, ignore_result=True)
    except Exception:  # beat asks again; the entry is found in the database meanwhile
        log.warning("indexing not asked for", exc_info=True)
