"""Leader election by a Lease, as client-go does it: of several watchers one acts.

A holder is believed alive as long as its record keeps changing, judged by the time at which *we* saw it change: the
clocks of two machines are never compared.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from healing.ports.cluster import Cluster, Object
from healing.ports.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, SourceError, Unavailable

log = structlog.get_logger(__name__)

LEASE_NAME = "recist-watcher"
#: For each of the two calls that give the Lease back; a stop must not wait for a cluster that is away.
_RELEASE_SECONDS = 0.7
#: The first pause after a failure, and how the pauses grow.
_FIRST_PAUSE_SECONDS, _GROWTH = 0.25, 1.6
_SAY_AGAIN_SECONDS = 600.0
# Only spreads the candidates out.
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Timing:
    """``lease_seconds``: others wait so long after the last renewal they saw. ``renew_within_seconds``: a leader that
    could not renew for so long stops acting, well before anyone else may start. ``unreachable_seconds``: the longest
    pause between two tries at a cluster that does not answer; the pauses grow up to it."""

    lease_seconds: float = 15.0
    renew_within_seconds: float = 10.0
    retry_seconds: float = 2.0
    unreachable_seconds: float = 3.0


class LeaderElector:
    """`run` in a thread of its own; `is_leader` may be asked from any."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        identity: str,
        *,
        name: str = LEASE_NAME,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_change`` is called in the elector's thread whenever leadership was won or lost."""
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen: object = None
        self._seen_at = 0.0
        #: the Lease as we wrote it last
        self._own: Object | None = None
        self.holder = ""
        self.problem = ""
        #: whether the cluster could be talked to at the last try
        self.answers = True
        self._on_change = on_change
        self._failures = 0
        self._said_at = float("-inf")

    def is_leader(self) -> bool:
        """Whether we hold the Lease for sure; false as soon as a renewal is overdue, even if a call still hangs."""
        renewed_at = self._renewed_at
        return renewed_at is not None and self._clock() - renewed_at < self._timing.renew_within_seconds

    def run(self, stop: threading.Event) -> None:
        """Try, renew and retry until ``stop`` is set; then give the Lease back."""
        while not stop.is_set():
            was_leader = self._renewed_at is not None
            try:
                self._try_once()
                self._answered()
            except SourceError as error:
                self._failed(error)
            if self._renewed_at is not None and not self.is_leader():
                log.warning("leadership lost: the Lease could not be renewed in time", lease=self._name)
                self._renewed_at = None
            if was_leader != (self._renewed_at is not None):
                self._on_change()
            stop.wait(self._pause_seconds())
        self._release()

    def _answered(self) -> None:
        if self._failures:
            log.info("the Lease can be read again", lease=self._name, failures=self._failures)
        self.problem, self.answers = "", True
        self._failures, self._said_at = 0, float("-inf")

    def _failed(self, error: SourceError) -> None:
        """Said at the first failure, and then seldom: a cluster may be away for days, and there may be many."""
        self.problem, self.answers = str(error), not isinstance(error, Unavailable)
        self._failures += 1
        if time.monotonic() - self._said_at > _SAY_AGAIN_SECONDS:
            self._said_at = time.monotonic()
            log.warning("the Lease cannot be read or renewed", lease=self._name, error=str(error))

    def _pause_seconds(self) -> float:
        if not self._failures or self._renewed_at is not None:
            return self._timing.retry_seconds * _random.uniform(0.9, 1.1)
        growing = _FIRST_PAUSE_SECONDS * _GROWTH ** min(self._failures, 20)
        return min(growing, self._timing.unreachable_seconds) * _random.uniform(0.6, 1.0)

    # --- one round -----------------------------------------------------------------------------------------

    def _try_once(self) -> None:
        # What counts is when the renewal was *sent*: the others may see it that early.
        sent_at = self._clock()
        timeout_seconds = max(0.5, self._timing.renew_within_seconds / 2)
        if (
            self._renewed_at is not None
            and self._own is not None
            and self._renewed(self._own, sent_at, timeout_seconds)
        ):
            return
        try:
            lease = self._cluster.get("Lease", self._namespace, self._name, timeout_seconds=timeout_seconds)
        except NotFound:
            self._create(sent_at, timeout_seconds)
            return
        spec = lease.get("spec") or {}
        self._observe(lease)
        self.holder = str(spec.get("holderIdentity") or "")
        if self.holder not in ("", self.identity) and not self._has_run_out(spec):
            self._renewed_at = None
            return
        try:
            self._own = self._take(lease, timeout_seconds)
        except Conflict:  # somebody was faster: see next round who
            self._renewed_at = None
            return
        self._won(sent_at)

    def _renewed(self, lease: Object, sent_at: float, timeout_seconds: float) -> bool:
        """Renew what we wrote last, without reading it first: where answers take seconds, two calls would be too long.
        False: it is not as we left it."""
        self._own = None
        try:
            self._own = self._take(lease, timeout_seconds)
        except (Conflict, NotFound):
            return False
        self._won(sent_at)
        return True

    def _observe(self, lease: Object) -> None:
        """Remember when the record last changed, by our own clock."""
        seen = (lease.get("metadata") or {}).get("uid"), lease.get("spec")
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()

    def _has_run_out(self, spec: Object) -> bool:
        lease_seconds = float(spec.get("leaseDurationSeconds") or self._timing.lease_seconds)
        return self._clock() - self._seen_at > lease_seconds

    def _take(self, lease: Object, timeout_seconds: float) -> Object:
        spec = lease.get("spec") or {}
        now, mine = _now(), spec.get("holderIdentity") == self.identity
        new = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._timing.lease_seconds)),
            "renewTime": now,
            "acquireTime": spec.get("acquireTime") if mine and spec.get("acquireTime") else now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine else 1),
        }
        patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": new}
        return self._cluster.patch("Lease", self._namespace, self._name, patch, timeout_seconds=timeout_seconds)

    def _create(self, sent_at: float, timeout_seconds: float) -> None:
        now = _now()
        body: Object = {
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": max(1, round(self._timing.lease_seconds)),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            try:
                self._cluster.create("Lease", self._namespace, body, timeout_seconds=timeout_seconds)
            except NotFound:
                self._create_namespace(timeout_seconds)
                self._cluster.create("Lease", self._namespace, body, timeout_seconds=timeout_seconds)
        except AlreadyExists:
            return
        self._won(sent_at)

    def _create_namespace(self, timeout_seconds: float) -> None:
        try:
            self._cluster.create(
                "Namespace", "", {"metadata": {"name": self._namespace}}, timeout_seconds=timeout_seconds
            )
            log.info("namespace created for the Lease", namespace=self._namespace)
        except AlreadyExists:
            pass
        except (Forbidden, Invalid) as error:
            raise Forbidden(
                f"The namespace {self._namespace} for the Lease does not exist and may not be created: create it, or "
                f"set POD_NAMESPACE to one that exists ({error})."
            ) from error

    def _won(self, sent_at: float) -> None:
        if self._renewed_at is None:
            log.info("leading", lease=self._name, identity=self.identity)
        self._renewed_at = sent_at
        self.holder = self.identity

    def _release(self) -> None:
        """Let the next one start at once, as far as that can be done quickly."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            lease = self._cluster.get("Lease", self._namespace, self._name, timeout_seconds=_RELEASE_SECONDS)
            if (lease.get("spec") or {}).get("holderIdentity") != self.identity:
                return
            patch = {
                "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
                "spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()},
            }
            self._cluster.patch("Lease", self._namespace, self._name, patch, timeout_seconds=_RELEASE_SECONDS)
        except SourceError as error:
            log.info("the Lease was not given back and will run out", error=str(error))


def _now() -> str:
    """A MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
