"""Entries that have expired leave the index first and the database after: nothing is found that is not on record."""

from __future__ import annotations

from django.utils import timezone

from knowledge import local
from knowledge.index import IndexUnavailable, default_index
from knowledge.models import KnowledgeEntry

_BATCH = 500


def forget_expired() -> int:
    """Returns how many. Qdrant down: they stay on record (recall leaves them out), and the next run goes on."""
    expired = KnowledgeEntry.objects.filter(pinned=False, merged_into__isnull=True, expires_at__lte=timezone.now())
    done = 0
    while rows := list(expired.order_by("pk").values_list("pk", "cluster", "namespace")[:_BATCH]):
        keys = [pk for pk, _, _ in rows]
        try:
            default_index().delete(keys)
        except IndexUnavailable:
            return done
        KnowledgeEntry.objects.filter(merged_into__in=keys).delete()
        KnowledgeEntry.objects.filter(pk__in=keys).delete()
        for cluster, namespace in {(c, n) for _, c, n in rows}:
            local.forget(cluster, namespace)
        done += len(rows)
    return done


def remove(entry: KnowledgeEntry) -> None:
    """A person takes an entry (a note) out of the memory. The index drops it now or, if it is down, by itself: what is
    not in the database is never recalled."""
    key, cluster, namespace = entry.pk, entry.cluster, entry.namespace
    entry.delete()
    local.forget(cluster, namespace)
    KnowledgeEntry.objects.filter(merged_into=key).update(merged_into=None)
