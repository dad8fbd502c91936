"""Keeps the policies of the database and the status of their resources in step. Runs on the leader."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.db.models import Count, Max, Q

from healing.detection.cache import Key, ObjectCache
from healing.detection.policies import PolicyBook
from healing.lifecycle import Outcome
from healing.models import HealingEvent, Policy
from healing.policies import first_day
from healing.policy_changes import rows as policy_rows
from healing.policy_changes.resource import KIND
from healing.policy_changes.status import Tally, desired_status
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import NotFound, SourceError

log = structlog.get_logger(__name__)

STATUS_EVERY_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0


class PolicySync:
    """A sink of the policies' informer, and a thread (`run`) that writes rows and statuses."""

    def __init__(
        self,
        cluster_name: str,
        cluster: Cluster,
        cache: ObjectCache,
        book: PolicyBook,
        stop: threading.Event,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self._cluster_name = cluster_name
        self._cluster = cluster
        self._cache = cache
        self._book = book
        self._stop = stop
        self._namespaces = namespaces
        self._wake = threading.Condition()
        self._dirty: dict[Key, None] = {}
        self._listed = False
        self._said_at = float("-inf")

    # --- told by the informer ------------------------------------------------------------------------------

    def changed(self, key: Key) -> None:
        """A policy was added, changed or deleted."""
        with self._wake:
            self._dirty[key] = None
            self._wake.notify()

    def synced(self, kind: str, keys: list[Key]) -> None:
        """All policies were read anew."""
        with self._wake:
            self._dirty.update(dict.fromkeys(keys))
            self._listed = True
            self._wake.notify()

    # --- the thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until ``stop`` is set."""
        next_status_at, is_known = 0.0, False
        try:
            while not self._stop.is_set():
                try:
                    close_old_connections()
                    if not is_known:
                        first_day.see(self._cluster_name)
                        is_known = True
                    if self.write_rows() or time.monotonic() >= next_status_at:
                        next_status_at = time.monotonic() + STATUS_EVERY_SECONDS
                        self.write_statuses()
                except (DatabaseError, InterfaceError) as error:
                    self._say("policies wait for the database", error)
                    self._stop.wait(_RETRY_SECONDS)
                except Exception:
                    log.exception("policies could not be synchronized")
                    self._stop.wait(_RETRY_SECONDS)
                close_old_connections()  # of many clusters' threads, few are at it at once
                with self._wake:
                    if not self._dirty and not self._listed:
                        self._wake.wait(0.5)
        finally:
            connections.close_all()

    def write_rows(self) -> bool:
        """Bring the rows of changed resources up to date. What fails stays to be done. True: there was something."""
        with self._wake:
            dirty, self._dirty = self._dirty, {}
            listed, self._listed = self._listed, False
        if not dirty and not listed:
            return False
        try:
            for _, namespace, name in dirty:
                self._write_row(namespace, name)
            if listed:
                policy_rows.keep_only(self._cluster_name, self._cache.list(KIND), self._namespaces)
        except BaseException:
            with self._wake:
                self._dirty = {**dirty, **self._dirty}
                self._listed = self._listed or listed
            raise
        self._book.invalidate()
        return True

    def _write_row(self, namespace: str, name: str) -> None:
        if self._namespaces and namespace not in self._namespaces:
            return
        resource = self._cache.get(KIND, namespace, name)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            policy_rows.remove(self._cluster_name, namespace, name)
        else:
            policy_rows.store(self._cluster_name, resource)

    def write_statuses(self) -> None:
        """Patch the status of every resource whose status is not what it should be."""
        tallies = _tallies(self._cluster_name)
        for policy in Policy.objects.filter(cluster=self._cluster_name, source=Policy.Source.CLUSTER):
            resource = self._cache.get(KIND, policy.namespace, policy.name)
            if resource is None or self._stop.is_set():
                continue
            tally = tallies.get(policy.pk, Tally())
            status = desired_status(policy, resource.get("status") or {}, tally, datetime.now(UTC))
            if status != (resource.get("status") or {}):
                self._patch(resource, status)

    def _patch(self, resource: Object, status: dict[str, Any]) -> None:
        meta = resource["metadata"]
        try:
            self._cluster.patch(
                KIND,
                meta.get("namespace") or "",
                meta["name"],
                {"status": status},
                subresource="status",
                timeout_seconds=3.0,
            )
        except NotFound:
            pass  # deleted in between
        except SourceError as error:
            self._say("a policy's status could not be written", error)

    def _say(self, what: str, error: Exception) -> None:
        if time.monotonic() - self._said_at > _SAY_AGAIN_SECONDS:
            self._said_at = time.monotonic()
            log.warning(what, error=str(error))


def _tallies(cluster: str) -> dict[int, Tally]:
    """By policy."""
    rows = (
        HealingEvent.objects.filter(cluster=cluster, policy__isnull=False)
        .values("policy_id")
        .annotate(
            active=Count("pk", filter=Q(finished_at__isnull=True)),
            ended=Count("pk", filter=Q(finished_at__isnull=False)),
            healed=Count("pk", filter=Q(outcome=Outcome.HEALED)),
            last=Max("finished_at"),
        )
    )
    return {row["policy_id"]: Tally(row["active"], row["ended"], row["healed"], row["last"]) for row in rows}
