"""The detectors against what a real cluster's watches told, in its own time."""

from __future__ import annotations

import pytest

from healing.actions.labels import QUARANTINE
from tests.detection.replay import Stage, play

#: The evaluator minds its database connection after each round.
pytestmark = pytest.mark.django_db

FAULTS = [
    # scenario, first fault (kind, name, symptom), not before, not after (seconds)
    ("crashloop", ("Deployment", "api", "CrashLoopBackOff"), 4.5, 5.0),
    ("oomkilled", ("Deployment", "cache", "OOMKilled"), 6.0, 6.1),
    ("command-not-found", ("Deployment", "web", "RunContainerError"), 3, 5),
    ("init-container-failing", ("Deployment", "web", "CrashLoopBackOff"), 1, 3),
    ("job-backofflimit", ("Job", "migrate", "JobFailed"), 13, 14),
    ("liveness-wrong-port", ("Deployment", "web", "LivenessProbeFailed"), 9.5, 11),
    ("limitrange", ("Deployment", "web", "FailedCreate"), 5, 9),
    ("missing-serviceaccount", ("Deployment", "web", "FailedCreate"), 5, 8),
    ("quota-cpu", ("Deployment", "web", "FailedCreate"), 5, 8),
    ("quota-pods", ("Deployment", "web", "FailedCreate"), 5, 9),
    ("node-notready", ("Node", "node1", "NodeNotReady"), 50, 60),
    ("pvc-missing", ("Deployment", "db", "Unschedulable"), 10, 11),
    ("readiness-failing", ("Deployment", "web", "ProgressDeadlineExceeded"), 15, 17),
    ("rollout-bad-image", ("Deployment", "web", "ImagePullBackOff"), 16, 18),
    ("rollout-crashing-image", ("Deployment", "web", "CrashLoopBackOff"), 4, 6),
    ("service-wrong-targetport", ("Service", "name", "TargetPortNotFound"), 5, 7),
    ("unschedulable-cpu", ("Deployment", "web", "Unschedulable"), 10, 11),
    ("unschedulable-podantiaffinity", ("Deployment", "web", "Unschedulable"), 10, 11),
]


@pytest.mark.parametrize(("name", "what", "earliest", "latest"), FAULTS)
def test_a_fault_is_seen_in_time_on_its_workload(
    name: str, what: tuple[str, str, str], earliest: float, latest: float
) -> None:
    stage = play(name, go_on_seconds=20)
    assert stage.seen, "nothing was seen"
    first = stage.seen[0]
    assert first.what == what
    assert earliest <= first.at <= latest
    assert {seen.what[:2] for seen in stage.seen} == {what[:2]}, "all symptoms belong to one workload"


@pytest.mark.parametrize(
    "name",
    [
        "deployment-ready",
        "rollout-good",
        "scale-to-zero",
        "pod-delete",
        "eviction-pdb",
        "label-detach",
        "cordon",
        "untolerated-taint",  # freed after four seconds
        "service-selector-matches-nothing",  # corrected after three
    ],
)
def test_normal_life_is_no_fault(name: str) -> None:
    assert [seen.what for seen in play(name, go_on_seconds=20).seen] == []


def test_each_of_three_deployments_has_its_own_fault() -> None:
    found = {seen.what for seen in play("missing-configmap").seen}
    assert found == {
        ("Deployment", "env", "CreateContainerConfigError"),
        ("Deployment", "key", "CreateContainerConfigError"),
        ("Deployment", "vol", "FailedMount"),
    }


def test_readiness_that_is_lost_is_seen_after_its_grace() -> None:
    stage = play("readiness-lost-while-running", go_on_seconds=20)
    assert {seen.what for seen in stage.seen} == {("Deployment", "web", "ReadinessProbeFailed")}
    assert stage.seen[0].sighting.data["wasReady"] is True


def test_a_selector_that_stays_wrong_is_a_fault_of_the_service() -> None:
    stage = play("service-selector-matches-nothing", until=2.5, go_on_seconds=10)
    assert [seen.what[::2] for seen in stage.seen] == [("Service", "NoEndpoints")]


def test_a_pod_in_our_quarantine_is_no_new_fault() -> None:
    def quarantine(stage: Stage) -> None:
        apply = stage.cache.apply

        def labelled(event_type: str, obj: dict) -> tuple[str, str, str]:  # type: ignore[type-arg]
            if obj.get("kind") == "Pod":
                obj["metadata"].setdefault("labels", {})[QUARANTINE] = "he-x"
            return apply(event_type, obj)

        stage.cache.apply = labelled  # type: ignore[method-assign]

    assert [seen.what for seen in play("crashloop", prepare=quarantine).seen] == []


def test_a_crash_loop_stands_since_its_first_crash() -> None:
    """The container runs in between; that is not an end of the fault."""
    stage = play("crashloop", until=80.0)
    assert stage.at - stage.seen[0].at > 70
    [tracked] = [entry for entry in stage.tracker.entries() if entry.sighting.symptom == "CrashLoopBackOff"]
    assert tracked.standing_since is not None
    assert (tracked.standing_since - stage.start).total_seconds() == pytest.approx(stage.seen[0].at, abs=0.1)
