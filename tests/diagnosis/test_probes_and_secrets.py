"""Probes that fail, and keys that Secrets have lost: told from what only looks like it."""

from __future__ import annotations

import pytest

from tests.diagnosis.asked import all_of, best, named
from tests.diagnosis.world import World, ago, container, crashed, waiting

MI = 2**20


def _unready() -> dict[str, object]:
    return {"state": {"running": {"startedAt": ago(115)}}, "ready": False, "restartCount": 0}


@pytest.mark.parametrize(
    ("message", "cause", "field"),
    [
        (
            'Get "http://10.0.0.9:9999/ok": dial tcp 10.0.0.9:9999: connect: connection refused',
            "ReadinessProbeMisconfigured",
            "port",
        ),
        ("HTTP probe failed with statuscode: 404", "ReadinessProbeMisconfigured", "path"),
        (
            'Get "https://10.0.0.9:9999/ok": http: server gave HTTP response to HTTPS client',
            "ReadinessProbeMisconfigured",
            "scheme",
        ),
        ("HTTP probe failed with statuscode: 503", "ApplicationNotReady", ""),
        (
            'Get "http://10.0.0.9:9999/ok": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
            "ApplicationNotReady",
            "",
        ),
    ],
)
def test_readiness_probes(message: str, cause: str, field: str) -> None:
    world = World()
    probe = {"httpGet": {"path": "/ok", "port": 9999}}
    world.deployment("search", [container(readinessProbe=probe)], failing=_unready(), replicas=1)
    world.event(world.pods("search")[0], "Unhealthy", f"Readiness probe failed: {message}", count=12)
    found = best(world)
    assert named(found) == (cause, "Deployment", "search")
    assert found.facts.get("field", "") == field


@pytest.mark.parametrize(
    ("threshold", "code", "ended", "cause", "field"),
    [
        pytest.param(1, 0, 5, "LivenessProbeMisconfigured", "timing", id="killed for one slow answer, and ends well"),
        pytest.param(1, 3, 4, "LivenessProbeMisconfigured", "timing", id="killed, and ends with a code of its own"),
        pytest.param(1, 137, 5, "LivenessProbeMisconfigured", "timing", id="killed hard"),
        pytest.param(3, 0, 5, "ApplicationNotReady", None, id="three answers missing in a row: it may hang"),
        pytest.param(1, 3, 300, "ApplicationCrash", None, id="that end was another one"),
    ],
)
def test_a_liveness_probe_that_kills_whoever_is_busy(
    threshold: int, code: int, ended: float, cause: str, field: str | None
) -> None:
    world = World()
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 3, "failureThreshold": threshold}
    failing = crashed(code, "Completed" if code == 0 else "Error", lived=60, ended=ended)
    spec = {"terminationGracePeriodSeconds": 5}
    world.deployment("pdf", [container(livenessProbe=probe)], failing=failing, replicas=2)
    late = 'Get "http://10.0.0.9:8080/healthz": context deadline exceeded (Client.Timeout exceeded)'
    for pod in world.pods("pdf"):
        pod["spec"].update(spec)
        world.event(pod, "Unhealthy", f"Liveness probe failed: {late}", count=4)
        world.event(pod, "Killing", "Container app failed liveness probe, will be restarted", kind="Normal", count=4)
    found = best(world)
    assert named(found) == (cause, "Deployment", "pdf")
    assert found.facts.get("field") == field


def test_a_probe_that_failed_while_starting_is_no_fault() -> None:
    world = World()
    world.deployment("search", [container(readinessProbe={"httpGet": {"path": "/ok", "port": 8080}})])
    world.event(world.pods("search")[0], "Unhealthy", "Readiness probe failed: connect: connection refused", count=2)
    assert all_of(world).findings == ()


def _reads_password() -> dict[str, object]:
    ref = {"name": "ledger", "key": "password"}
    return container(env=[{"name": "PASSWORD", "valueFrom": {"secretKeyRef": ref}}])


def test_a_key_that_a_secret_has_lost_is_the_secrets_fault() -> None:
    world = World()
    message = "couldn't find key password in Secret shop/ledger"
    world.deployment(
        "statements",
        [_reads_password()],
        before=[{**_reads_password(), "image": "registry.example/app:0"}],
        failing=waiting("CreateContainerConfigError", message),
    )
    assert named(best(world)) == ("MissingSecretKey", "Secret", "ledger")


def test_a_key_that_only_the_new_revision_asks_for_is_its_own_fault() -> None:
    world = World()
    message = "couldn't find key password in Secret shop/ledger"
    world.deployment(
        "statements",
        [_reads_password()],
        before=[container()],
        failing=waiting("CreateContainerConfigError", message),
    )
    assert named(best(world)) == ("MissingSecretKey", "Deployment", "statements")
