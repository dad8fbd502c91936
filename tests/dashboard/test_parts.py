"""The parts' health is said as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from healing.dashboard.parts import LATE_AFTER, parts
from healing.detection import heartbeat
from healing.models import HealingEvent
from recist_web.clusters import ClusterTarget
from tests.dashboard import cases, story

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> None:
    cache.clear()


def said(name: str) -> tuple[bool, str]:
    return next((part.ok, part.says) for part in parts() if part.name == name)


def beat(age_seconds: float = 0.0, cluster: str = settings.CLUSTER_NAME, **more: object) -> None:
    at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    values = {"objects": 12, "synced": True, **more}
    heartbeat.write(cluster, heartbeat.Heartbeat(at.isoformat(), "me", True, **values))  # type: ignore[arg-type]


def test_the_watcher() -> None:
    assert said("Watcher")[0] is False
    beat(lag_seconds=0.4)
    assert said("Watcher") == (True, "Watching 12 objects, 0.4 s behind.")
    beat(problems={"Lease": "forbidden"})
    assert said("Watcher") == (False, "Lease: forbidden")
    beat(age_seconds=40)
    ok, says = said("Watcher")
    assert not ok
    assert "Silent for 40 s" in says


def test_workers_that_do_not_come() -> None:
    now = datetime.now(UTC)
    event = story.open_case(cases.bad_rollout(now), now)
    assert said("Workers")[0] is True
    HealingEvent.objects.filter(pk=event.pk).update(dispatched_at=timezone.now() - LATE_AFTER - timedelta(seconds=1))
    assert said("Workers") == (
        False,
        "1 event waits for a worker that does not come. Are worker and beat running?",
    )


def test_a_mirror_that_lags() -> None:
    then = datetime.now(UTC) - timedelta(minutes=1)
    story.open_case(cases.bad_rollout(then), then)
    assert said("Cluster mirror")[0] is False
    HealingEvent.objects.update(mirrored_seq=1)
    assert said("Cluster mirror")[0] is True


def test_of_many_clusters_only_trouble_is_spelled_out(settings: Settings) -> None:
    settings.CLUSTERS = {name: ClusterTarget(name) for name in ("a", "b", "c", *(f"away-{n}" for n in range(20)))}
    for name in settings.CLUSTERS:
        if name.startswith("away"):
            beat(cluster=name, answers=False, problems={"Lease": f"{name}: connection refused"})
        else:
            beat(cluster=name, lag_seconds=0.4)
    beat(cluster="c", problems={"Pod": "forbidden"})
    assert said("Watcher") == (
        False,
        (
            "c: Pod: forbidden. away-0, away-1, away-2, away-3, away-4, 15 more: does not answer. "
            "Watching 24 objects in 2 of 23 clusters, 0.4 s behind."
        ),
    )
    settings.CLUSTERS = {name: ClusterTarget(name) for name in ("a", "b")}
    assert said("Watcher") == (True, "Watching 24 objects in 2 of 2 clusters, 0.4 s behind.")


def test_who_is_worth_asking() -> None:
    beat(cluster="well")
    beat(cluster="away", answers=False)
    beat(cluster="long-ago", age_seconds=60, answers=False)
    assert heartbeat.answering(["well", "away", "long-ago", "unwatched"]) == ["well", "long-ago", "unwatched"]
