"""Each line says what it is about; and none says what it must not."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog
from django.test import Client

from healing import engine, telemetry
from healing.models import HealingEvent
from healing.phase import PhaseContext, PhaseResult
from healing.ports import Ports
from recist_web import log_secrets
from recist_web.environment import PROJECT_DIR
from tests.engine import story

Lines = list[dict[str, Any]]


@pytest.fixture
def lines() -> Any:
    """What is logged, with what it is bound to."""
    found: Lines = []
    lock = threading.Lock()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
            with lock:
                found.append({**structlog.contextvars.get_contextvars(), **message})

    handler = Handler()
    logging.getLogger().addHandler(handler)
    yield found
    logging.getLogger().removeHandler(handler)


@pytest.mark.django_db
def test_every_line_of_a_phase_says_which_event_in_its_threads_too(lines: Lines) -> None:
    log = structlog.get_logger("healing.test")
    event, _ = engine.open_event(story.fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=story.POLICY)

    def containing(context: PhaseContext) -> PhaseResult:
        log.warning("here")
        logging.getLogger("somebody.else").warning("theirs")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(telemetry.with_context(log.warning), ["thread 1", "thread 2"]))
        raise ValueError("broken")

    handlers: Any = dict.fromkeys(story.World().handlers(), containing)
    ports = Ports("default", None)  # type: ignore[arg-type]
    engine.run(event.pk, event.run_id, ports=ports, handlers=handlers)
    told = {line["event"]: line for line in lines}
    assert {"here", "theirs", "thread 1", "thread 2", "phase failed"} <= set(told)
    for message in ("here", "theirs", "thread 1", "thread 2", "phase failed"):
        line = told[message]
        assert (line["event_name"], line["cluster"], line["phase"]) == (event.name, "default", "Containing")
        assert line["run_id"] == str(event.run_id)
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.django_db
def test_requests_have_an_id_and_strangers_write_nothing_into_it(client: Client) -> None:
    own = client.get("/login/").headers["X-Request-ID"]
    assert len(own) == 32
    given = client.get("/api/v1/events", headers={"X-Request-ID": "proxy-123.abc_45"})
    assert given.headers["X-Request-ID"] == "proxy-123.abc_45"
    for bad in ("short", "x" * 65, "with space 12345", 'quote"12345678'):
        assert client.get("/login/", headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


PLANTED = {
    "SECRET_KEY": "planted-secret-key-" + "k" * 40,
    "DATABASE_URL": "postgres://recist:planted%2Fdbpw@127.0.0.1:9/recist",
    "REDIS_URL": "redis://:plantedredispw@127.0.0.1:9/0",
    "LLM_API_KEY": "planted.llm.key",
    "NOTIFY_SLACK_URL": "https://hooks.example.com/planted/slack/path",
    "NOTIFY_WEBHOOK_KEY": "plantedwebhookkey",
    "QDRANT_API_KEY": "plantedqdrantkey",
    "PROMETHEUS_TOKEN": "plantedprometheustoken",
    "SMTP_URL": "smtp://mailer:plantedsmtppw@127.0.0.1:9",
}
SCRIPT = """
import os, logging
os.environ["DJANGO_SETTINGS_MODULE"] = "recist_web.settings"
import django; django.setup()
import structlog
from django.conf import settings
from django.test import Client
log = structlog.get_logger("x")
values = [v for k, v in os.environ.items() if "planted" in v] + ["planted/dbpw", "plantedredispw", "plantedsmtppw"]
for value in values:
    log.warning("said " + value, where=value, deep={"list": [value, {"inner": value}]}, password=value)
    logging.getLogger("theirs").error("said %s", value)
    try:
        raise RuntimeError("cannot use " + value)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("theirs").exception("failed")
client = Client(raise_request_exception=False)
for path in ("/", "/login/", "/readyz", "/metrics", "/api/v1/events", "/nothing/", "/admin/"):
    answer = client.get(path)
    print("ANSWER", path, answer.status_code, answer.content.decode(errors="replace").replace("\\n", " "))
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_of_the_environment_is_logged_or_shown(form: str) -> None:
    """Database and Valkey are away, which is when libraries say what they were given."""
    environment = {**os.environ, **PLANTED, "LOG_FORMAT": form, "LOG_LEVEL": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" in done.stderr
    assert "[secret]" in done.stderr
    assert "ANSWER /readyz 503" in done.stdout
    assert "recist_database_up 0.0" in done.stdout
    for line in (done.stderr + done.stdout).splitlines():
        assert "planted" not in line, line[:500]
    if form == "json":
        ours = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert any(line["event"].startswith("said") and line["password"] == "[secret]" for line in ours)


def test_masking_keeps_what_is_harmless() -> None:
    line: Mapping[str, Any] = {
        "event": "watching", "clusters": ["shop"], "count": 3, "is_leader": True, "token": "", "error": None,
        "secret_name": "llm-api-key", "url": "http://prometheus:9090/api/v1/query",
    }  # fmt: skip
    assert log_secrets.mask(None, "info", dict(line)) == dict(line)
    masked = log_secrets.mask(None, "info", {"event": "x", "error": "Authorization: Bearer abc123def456ghi"})
    assert "abc123" not in masked["error"]
