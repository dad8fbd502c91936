"""The memory: `remember` an event, `recall` similar ones, count what worked with `success`.

Only workers call `remember` and `recall` (they load the embedding model); `success` is plain SQL. Two ranges: the local
one (a namespace's last entries, in Valkey) and the global one (Qdrant, all namespaces and clusters). Recall works from
the database where either is down, and says nothing rather than too late.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

import structlog
from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from knowledge import embeddings, local, merging, search
from knowledge.embeddings import EmbeddingFailed
from knowledge.models import EntryKind, KnowledgeEntry, Trial, Use
from knowledge.records import Experience, Judgement, Range, Recollection, TrialOutcome, TriedStrategy
from knowledge.statistics import SuccessCount, Tried, count
from knowledge.teaching import judgements_of

__all__ = [
    "Experience",
    "Judgement",
    "Recollection",
    "SuccessCount",
    "TrialOutcome",
    "TriedStrategy",
    "ask_for_indexing",
    "note_uses",
    "recall",
    "remember",
    "strategies_tried",
    "success",
    "successes",
]

log = structlog.get_logger(__name__)

#: Trials looked at for one cause: older ones weigh next to nothing.
_MOST_TRIALS = 2000
#: More hits than wanted are fetched: some are expired, or below a flagged one.
_SPARE = 5
#: What happened here is this much more like it; what people doubt this much less.
_LOCAL_BONUS, _FLAG_MALUS = 0.02, 0.08


def remember(experience: Experience) -> str:
    """Record an event and return the entry's ref; an event recorded before keeps its entry.

    Qdrant is not waited for: the entry is queued (``indexed_at`` is null) and `knowledge.tasks.index_pending` takes
    it there. Until then `recall` finds it in the database. Without an embedding (a provider that is down) it is
    recorded all the same, and embedded later.
    """
    known = KnowledgeEntry.objects.filter(event_ref=experience.event_ref).values_list("ref", flat=True).first()
    if known is not None:
        return known
    embedder = embeddings.default_embedder()
    try:
        vector = embedder.embed([experience.text])[0]
    except EmbeddingFailed as error:
        log.warning("not embedded yet", event_name=experience.event_ref, error=str(error))
        vector = None
    expires_at = merging.expiry(experience.occurred_at, experience.ttl_days)
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
                "person_changed": experience.person_changed,
                "outcome": experience.outcome,
                "outcome_reason": experience.outcome_reason,
                "duration_seconds": experience.duration_seconds,
                "occurred_at": experience.occurred_at,
                "last_seen_at": experience.occurred_at,
                "expires_at": expires_at,
                "embedding": None if vector is None else embeddings.to_bytes(vector),
                "embedding_model": "" if vector is None else embedder.name,
                "embedding_dims": 0 if vector is None else embedder.dims,
            },
        )
        if created:
            Trial.objects.bulk_create(trials_of(entry))
            twin = merging.twin_of(entry, vector)
            if twin is not None:
                merging.merge(entry, twin, expires_at=expires_at)
            transaction.on_commit(lambda: local.add(entry, embedder, most=experience.max_local_events))
        transaction.on_commit(ask_for_indexing)
    return entry.ref


def recall(
    text: str,
    *,
    cluster: str = "",
    namespace: str = "",
    cause: str = "",
    outcome: str = "",
    topic: str = "",
    kind: str = "",
    near: tuple[str, str] | None = None,
    max_local_events: int = 200,
    limit: int = 5,
    timeout_seconds: float = 2.0,
) -> list[Recollection]:
    """The past events (and notes) most like ``text``, best first. Each filter that is not empty must match exactly.

    ``near``: cluster and namespace whose local range is asked as well; what is found there ranks a little higher.
    Raises nothing that has to do with Qdrant, Valkey or the embedding; an empty memory is an empty list.
    """
    if not text.strip() or not KnowledgeEntry.objects.exists():
        return []
    filters = {
        "cluster": cluster, "namespace": namespace, "cause": cause, "outcome": outcome, "topic": topic, "kind": kind
    }  # fmt: skip
    where = {name: value for name, value in filters.items() if value}
    until = time.monotonic() + timeout_seconds
    embedder = embeddings.default_embedder()
    try:
        vector = embedder.embed([text])[0]
    except EmbeddingFailed as error:
        log.warning("recall without embedding", error=str(error))
        return []
    wanted = limit + _SPARE
    here: dict[int, float] = {}
    if near is not None:
        here = dict(local.nearest(vector, *near, embedder=embedder, most=max_local_events, limit=wanted))
    hits = search.nearest(vector, embedder=embedder, where=where, limit=wanted, until=until)
    scores = {**here, **dict(hits)}
    rows = KnowledgeEntry.objects.filter(search.matching(where), _alive(timezone.now()), pk__in=scores)
    entries = {entry.pk: entry for entry in rows.defer("embedding", "topology")}
    judged = judgements_of(entries)
    found = [
        _recollection(entries[pk], scores[pk], "local" if pk in here else "global", judged.get(pk, ()))
        for pk in entries
    ]
    return sorted(found, key=_rank)[:limit]


def note_uses(event_ref: str, uses: Iterable[tuple[str, float, str]]) -> None:
    """Write down which entries (ref, similarity, what they changed) were recalled for an event; once each."""
    wanted = {ref: (similarity, effect) for ref, similarity, effect in uses}
    now = timezone.now()
    rows = KnowledgeEntry.objects.filter(ref__in=wanted).values_list("pk", "ref")
    Use.objects.bulk_create(
        [Use(entry_id=pk, event_ref=event_ref, similarity=wanted[r][0], effect=wanted[r][1], at=now) for pk, r in rows],
        update_conflicts=True,
        unique_fields=["entry", "event_ref"],
        update_fields=["similarity", "effect"],
    )


def success(cause: str, strategy: str, *, cluster: str = "", namespace: str = "", workload: str = "") -> SuccessCount:
    """How often ``strategy`` worked for ``cause``: in ``namespace`` (of ``cluster``), and everywhere else."""
    return successes(cause, [strategy], cluster=cluster, namespace=namespace, workload=workload)[strategy]


def successes(
    cause: str, strategies: Iterable[str], *, cluster: str = "", namespace: str = "", workload: str = ""
) -> dict[str, SuccessCount]:
    """`success` of several strategies in one query. ``workload``: ``Kind/name``, whose own trials weigh most."""
    wanted = list(strategies)
    tried = strategies_tried(cause, cluster=cluster, namespace=namespace, workload=workload)
    now = timezone.now()
    return {strategy: count(tried.get(strategy, ()), now) for strategy in wanted}


def strategies_tried(
    cause: str, *, cluster: str = "", namespace: str = "", workload: str = ""
) -> dict[str, list[Tried]]:
    """Every strategy ever tried against ``cause``, with its trials as statistics see them."""
    found: dict[str, list[Tried]] = {}
    rows = Trial.objects.filter(cause=cause).exclude(entry__expires_at__lte=timezone.now())
    for row in rows.order_by("-at")[:_MOST_TRIALS]:
        is_here = not row.is_imported and row.namespace == namespace and (not cluster or row.cluster == cluster)
        tried = Tried(
            succeeded=row.worked,
            at=row.at,
            is_here=is_here,
            is_same_workload=is_here and bool(workload) and row.workload == workload,
            workload=row.workload,
            weight=row.weight,
        )
        found.setdefault(row.strategy, []).append(tried)
    return found


def trials_of(entry: KnowledgeEntry) -> list[Trial]:
    """The rows statistics are counted from; not saved yet."""
    return [
        Trial(
            entry=entry,
            position=position,
            cluster=entry.cluster,
            namespace=entry.namespace,
            workload=entry.workload,
            cause=entry.named_cause,
            strategy=tried["strategy"],
            succeeded=tried["outcome"] == "succeeded",
            is_imported=bool(entry.imported_from),
            at=entry.occurred_at,
        )
        for position, tried in enumerate(entry.strategies)
        if tried["outcome"] != "refused"
    ]


def ask_for_indexing() -> None:
    """Have the worker take what is queued to the index; beat asks again if this is lost."""
    try:
        current_app.send_task("knowledge.tasks.index_pending", queue="knowledge", retry=False, ignore_result=True)
    except Exception:  # beat asks again; the entry is found in the database meanwhile
        log.warning("indexing not asked for", exc_info=True)


def _alive(now: datetime) -> Q:
    return Q(pinned=True) | Q(expires_at__isnull=True) | Q(expires_at__gt=now)


def _rank(one: Recollection) -> tuple[float, str]:
    bonus = _LOCAL_BONUS if one.range == "local" else 0.0
    return -(one.similarity + bonus - (_FLAG_MALUS if one.is_flagged else 0.0)), one.ref


def _recollection(
    entry: KnowledgeEntry,
    similarity: float,
    found_in: Range,
    judged: Iterable[Judgement],
) -> Recollection:
    is_note = entry.kind == EntryKind.NOTE
    return Recollection(
        ref=entry.ref,
        event_ref="" if is_note else entry.event_ref,
        similarity=round(similarity, 4),
        cluster=entry.cluster,
        namespace=entry.namespace,
        symptom=entry.symptom,
        cause=entry.named_cause,
        diagnosed_cause=entry.cause,
        target=entry.target,
        strategies=tuple(TriedStrategy(**{**raw, "actions": tuple(raw["actions"])}) for raw in entry.strategies),
        outcome=entry.outcome,
        duration_seconds=entry.duration_seconds,
        occurred_at=entry.occurred_at,
        text=entry.text,
        kind=entry.kind,
        title=entry.title,
        fingerprint=entry.fingerprint,
        range=found_in,
        occurrences=entry.occurrences,
        last_seen_at=entry.last_seen_at,
        imported_from=entry.imported_from,
        is_flagged=bool(entry.flags),
        judgements=tuple(judged),
    )
