"""Probes that fail, and keys that Secrets have lost: told from what only looks like it."""

from __future__ import annotations

import pytest

from tests.diagnosis.asked import all_of, best, named
from tests.diagnosis.world import World, ago, container, waiting

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
