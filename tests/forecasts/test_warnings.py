"""Warnings as rows, and their way through diagnosis, approval and verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from healing import diagnosis
from healing.approvals import service as approvals
from healing.audit import Actor
from healing.faults import Severity, SignalSource
from healing.forecasting import acting, record, rounds
from healing.forecasting.model import MINUTES
from healing.lifecycle import Outcome, Phase
from healing.models import (
    Approval,
    AuditEntry,
    HealingEvent,
    ProactiveWarning,
    StrategyState,
    WarningKind,
    WarningState,
)
from healing.ports import ObjectRef, Ports
from healing.ports.errors import Unavailable
from healing.ports.metrics import Sample, Series
from tests import stored
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story
from tests.people import approver

pytestmark = pytest.mark.django_db

ANA = Actor("person", "ana")
MIB = 2**20


class Trend:
    """A metrics server whose only container of memory follows a line; of everything else it knows nothing."""

    def __init__(self, namespace: str, pod: str, bytes_at: Callable[[float], float], limit: float) -> None:
        self.labels = {"namespace": namespace, "pod": pod, "container": "web"}
        self.bytes_at = bytes_at
        self.limit = limit
        self.away = False

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        if self.away:
            raise Unavailable("Prometheus does not answer")
        return [Sample(self.labels, self.limit, 0.0)] if "container_spec_memory_limit_bytes" in promql else []

    def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_seconds: float, timeout_seconds: float | None = None
    ) -> list[Series]:
        if "container_memory_working_set_bytes" not in promql or end < datetime.now(UTC) - timedelta(minutes=5):
            return []
        first, last = start.timestamp(), end.timestamp()
        times = [last - n * step_seconds for n in range(int((last - first) / step_seconds), -1, -1)]
        return [Series(self.labels, tuple((t, self.bytes_at(t - last)) for t in times))]


def looks(namespace: Namespace, ports: Ports, times: int = 2, start: datetime | None = None) -> None:
    now = start or timezone.now()
    for number in range(times):
        rounds.look("default", ports, now + timedelta(seconds=30 * number), [MINUTES])


@pytest.fixture
def leaking(live: Live, ns: Namespace) -> tuple[Namespace, Ports, Trend]:
    """A healthy Deployment whose memory, if one believes the numbers, is full in ten minutes."""
    ns.rolled_out(ns.deployment(replicas=1, resources={"limits": {"memory": "64Mi", "cpu": "100m"}}))
    trend = Trend(ns.name, ns.pods()[0]["metadata"]["name"], lambda t: (44 + 20 * t / 600) * MIB, 64 * MIB)
    return ns, replace(live.ports, metrics=trend), trend


def test_a_leak_is_warned_of_when_it_was_seen_twice(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    policy = events.policy(ns.name)
    looks(ns, ports, 1)
    row = ProactiveWarning.objects.get()
    assert row.state == WarningState.SUSPECTED
    looks(ns, ports, 1, timezone.now() + timedelta(seconds=30))
    row.refresh_from_db()
    assert row.state == WarningState.OPEN
    assert (row.kind, row.object_kind, row.object_name, row.part) == (
        WarningKind.MEMORY,
        "Deployment",
        "web",
        "web",
    )
    assert row.policy_name == str(policy)
    assert (row.breach_at - row.seen_at).total_seconds() == pytest.approx(600, rel=0.1)
    assert row.proposal["action"] == "restart"
    assert "killed for memory" in row.message
    assert 2 <= len(row.evidence["points"]) <= 120


def test_nobody_is_warned_without_a_policy_or_a_wish(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    looks(ns, ports)
    events.policy(ns.name, forecasts={"enabled": False})
    looks(ns, ports)
    assert not ProactiveWarning.objects.exists()


def test_a_trend_beyond_the_policys_horizon_is_not_told(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    events.policy(ns.name, forecasts={"horizonSeconds": 120})
    looks(ns, ports)
    assert not ProactiveWarning.objects.exists()


def test_what_ends_by_itself_is_cleared_and_what_was_seen_once_was_nothing(
    leaking: tuple[Namespace, Ports, Trend],
) -> None:
    ns, ports, trend = leaking
    events.policy(ns.name)
    looks(ns, ports)
    trend.bytes_at = lambda t: 44 * MIB
    looks(ns, ports, 2, timezone.now() + timedelta(minutes=5))
    row = ProactiveWarning.objects.get()
    assert (row.state, row.state_reason) == (WarningState.CLEARED, "The trend ended before the limit.")
    assert row.closed_at is not None


def test_a_source_that_is_away_closes_nothing(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, trend = leaking
    events.policy(ns.name)
    looks(ns, ports)
    trend.away = True
    looks(ns, ports, 3, timezone.now() + timedelta(minutes=5))
    assert ProactiveWarning.objects.get().state == WarningState.OPEN


def test_a_fault_of_the_workload_makes_it_come_true(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, trend = leaking
    policy = events.policy(ns.name)
    looks(ns, ports)
    fault = events.event(ObjectRef("Deployment", ns.name, "web"), "OOMKilled", under=policy)
    trend.bytes_at = lambda t: 20 * MIB
    looks(ns, ports, 1, timezone.now() + timedelta(minutes=5))
    row = ProactiveWarning.objects.get()
    assert row.state == WarningState.CAME_TRUE
    assert fault.name in row.state_reason


def test_what_a_person_dismissed_stays_away_and_is_written_down(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    events.policy(ns.name)
    looks(ns, ports)
    acting.dismiss(ProactiveWarning.objects.get().pk, actor=ANA, reason="a cache, known", now=timezone.now())
    looks(ns, ports)
    row = ProactiveWarning.objects.get()
    assert (row.state, row.closed_by, row.state_reason) == (WarningState.DISMISSED, "ana", "a cache, known")
    assert AuditEntry.objects.filter(action="warning.dismissed", actor="ana").exists()
    with pytest.raises(acting.CannotPrepare, match="over already"):
        acting.dismiss(row.pk, actor=ANA, reason="again", now=timezone.now())
    looks(ns, ports, 2, timezone.now() + timedelta(hours=7))
    assert ProactiveWarning.objects.filter(state=WarningState.OPEN).count() == 1


def prepared(ns: Namespace, ports: Ports, **spec: object) -> Story:
    """The story of a warning's event, with the real diagnosis."""
    events.policy(ns.name, verification={"timeoutSeconds": 60, "stableSeconds": 1}, **spec)
    looks(ns, ports)
    event = acting.prepare(ProactiveWarning.objects.get().pk, actor=ANA, now=timezone.now())
    told = Story(event, ports)
    told.handlers[Phase.DIAGNOSING] = diagnosis.run
    return told


def test_a_prepared_fix_is_approved_carried_out_and_verified(
    leaking: tuple[Namespace, Ports, Trend], live: Live
) -> None:
    """Even where the policy asks nobody about anything, a person is asked about what has not happened yet."""
    ns, ports, trend = leaking
    told = prepared(ns, ports, approval={"mode": "never"})
    told.until(Phase.AWAITING_APPROVAL)
    event = told.event
    assert (event.source, event.cause) == (SignalSource.FORECAST, "MemoryLeak")
    assert not event.isolations.exists()
    approval = Approval.objects.get()
    assert "not happened yet" in approval.reason
    before = {pod["metadata"]["uid"] for pod in ns.pods()}
    approvals.approve(approval.pk, by=approver("ana"), digest=approval.digest)
    told.until(Phase.VERIFYING)

    def new_pod() -> str:
        pods = [p for p in ns.pods() if p["metadata"]["uid"] not in before]
        return str(pods[0]["metadata"]["name"]) if len(pods) == 1 else ""

    trend.labels = {**trend.labels, "pod": until(new_pod, "a new pod")}
    trend.bytes_at = lambda t: 20 * MIB
    until_verified = Level(trend, 20 * MIB)
    told.ports = replace(ports, metrics=until_verified)
    assert told.through().outcome == Outcome.HEALED, told.told
    chosen = event.strategies.get(state=StrategyState.SUCCEEDED)
    assert "full (before: 69%)" in chosen.state_reason
    looks(ns, told.ports, 1, timezone.now() + timedelta(minutes=5))
    row = ProactiveWarning.objects.get()
    assert row.state == WarningState.PREVENTED
    assert event.name in row.state_reason


def test_a_fix_that_gives_no_room_is_a_failure(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, trend = leaking
    told = prepared(ns, replace(ports, metrics=trend), limits={"maxAttempts": 1})
    HealingEvent.objects.filter(pk=told.event.pk).update(
        policy_snapshot={**told.event.policy_snapshot, "verification": {"timeoutSeconds": 5, "stableSeconds": 1}}
    )
    told.event.policy.spec["verification"] = {"timeoutSeconds": 5, "stableSeconds": 1}
    told.event.policy.save()
    told.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    approvals.approve(approval.pk, by=approver("ana"), digest=approval.digest)
    told.ports = replace(ports, metrics=Level(trend, 44 * MIB))
    assert told.through().outcome == Outcome.ESCALATED, told.told


class Level(Trend):
    """As full as it says, for whatever pod is asked about."""

    def __init__(self, trend: Trend, value: float) -> None:
        super().__init__(trend.labels["namespace"], trend.labels["pod"], lambda t: value, trend.limit)
        self.value = value

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        if "container_memory_working_set_bytes" in promql:
            return [Sample(self.labels, self.value, 0.0)]
        return super().query(promql, at=at, timeout_seconds=timeout_seconds)


def test_a_wound_that_comes_meanwhile_does_not_wait_for_its_forecast(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    told = prepared(ns, ports)
    told.until(Phase.AWAITING_APPROVAL)
    fault = events.event(ObjectRef("Deployment", ns.name, "web"), "OOMKilled", severity=Severity.HIGH)
    assert fault.pk != told.event.pk


def test_a_policy_that_proposes_has_its_fixes_prepared(leaking: tuple[Namespace, Ports, Trend]) -> None:
    ns, ports, _ = leaking
    events.policy(ns.name, forecasts={"act": "propose"})
    looks(ns, ports)
    assert acting.propose_due("default", timezone.now()) == 1
    assert acting.propose_due("default", timezone.now()) == 0
    assert ProactiveWarning.objects.get().event is not None


def test_what_no_action_helps_against_cannot_be_prepared() -> None:
    now = timezone.now()
    row = stored.warning(WarningKind.CERTIFICATE, "tls", at=now)
    with pytest.raises(acting.CannotPrepare, match="a person has to look"):
        acting.prepare(row.pk, actor=ANA, now=now)


def test_points_are_thinned_from_the_newest() -> None:
    points = tuple((float(n), float(n)) for n in range(1000))
    kept = record.thin(points)
    assert len(kept) <= 120
    assert kept[-1] == points[-1]
