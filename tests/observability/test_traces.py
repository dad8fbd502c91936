"""Traces reach from a person's click to the calls of the phases; a collector in trouble is nobody's trouble."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from celery.contrib.testing.worker import start_worker
from django.test import Client
from pytest_django import Settings

from healing import engine, tasks, telemetry
from healing.cluster.prometheus import Prometheus
from healing.lifecycle import Phase
from healing.models import Approval, HealingEvent
from healing.phase import PhaseContext, PhaseResult
from healing.ports import Ports
from recist_web import tracing
from recist_web.environment import PROJECT_DIR
from tests.dashboard import story as people
from tests.engine import story
from tests.observability import collector
from tests.observability.collector import Collector


@pytest.fixture
def otlp(settings: Settings) -> Iterator[Collector]:
    with collector.running() as started:
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = started.url
        tracing.install("web")
        try:
            yield started
        finally:
            tracing.uninstall()


@pytest.mark.django_db(transaction=True)
def test_from_the_click_to_the_calls(otlp: Collector, empty_valkey: str) -> None:
    from recist_web.celery import app

    world = story.World(ask_person=True)
    ports = Ports("default", None, metrics=Prometheus(otlp.url))  # type: ignore[arg-type]
    event, _ = engine.open_event(story.fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=story.POLICY)
    for _ in range(3):
        event.refresh_from_db()
        engine.run(event.pk, event.run_id, ports=ports, handlers=world.handlers())
    event.refresh_from_db()
    assert event.phase == Phase.AWAITING_APPROVAL
    approval = Approval.objects.get(event=event)
    client = Client()
    client.force_login(people.approver("tracy"))

    def healing(context: PhaseContext) -> PhaseResult:
        assert context.ports.metrics is not None
        context.ports.metrics.query("up", timeout_seconds=5)
        return PhaseResult(Phase.LEARNING, outcome="declined")  # type: ignore[arg-type]

    handlers = {**world.handlers(), Phase.HEALING: healing}
    with mock.patch.object(tasks, "get_ports", return_value=ports), mock.patch.object(tasks, "HANDLERS", handlers):
        answer = client.post(
            f"/api/v1/approvals/{approval.pk}/approve",
            {"digest": approval.digest, "comment": "go"},
            content_type="application/json",
            headers={"X-Request-ID": "click-12345678"},
        )
        assert answer.status_code == 200, answer.content
        assert answer.headers["X-Request-ID"] == "click-12345678"
        with start_worker(app, perform_ping_check=False, pool="solo", queues=["healing"]):
            span = otlp.wait_for("ask Prometheus")
            otlp.wait_for("phase Healing")
            otlp.wait_for("run/healing.tasks.run_phase")
    names = [other.name for other in otlp.ancestors(span)]
    assert names[0] == "phase Healing"
    assert names[1] == "run/healing.tasks.run_phase"
    assert any(name.startswith("POST") for name in names), names
    assert span.attributes["recist.event"] == event.name
    assert span.attributes["recist.cluster"] == "default"
    click = otlp.ancestors(span)[-1]
    assert click.service == "recist-web"
    assert not [s for s in otlp.spans if "metrics" in s.name or "livez" in s.name]
    [call] = [s for s in otlp.spans if s.parent_id == span.span_id]  # httpx's own, with the address
    assert call.attributes.get("recist.event") == event.name


@pytest.mark.django_db
@pytest.mark.parametrize("trouble", ["hangs", "away"])
def test_a_collector_in_trouble_slows_nothing(settings: Settings, trouble: str) -> None:
    with collector.running() as started:
        started.hang.set()
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = started.url if trouble == "hangs" else "http://127.0.0.1:9"
        tracing.install("worker")
        try:
            began = time.monotonic()
            for number in range(6000):  # more than the queue holds
                with telemetry.span(f"span {number}"):
                    pass
            assert time.monotonic() - began < 5.0
        finally:
            began = time.monotonic()
            tracing.uninstall()
            assert time.monotonic() - began < 5.0


def test_nothing_of_it_is_loaded_when_it_is_off() -> None:
    probe = (
        # The Redis client looks for OpenTelemetry's metrics by itself, wherever it is installed.
        "heavy = ('opentelemetry.exporter', 'opentelemetry.instrumentation', 'opentelemetry.sdk.trace');"
        "import sys; import recist_web.asgi; from recist_web import tracing, task_signals; tracing.install('web');"
        "from django.urls import get_resolver; list(get_resolver().reverse_dict);"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    environment: dict[str, Any] = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
