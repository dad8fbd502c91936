"""A whole healing on the real processes with secrets planted everywhere, and everything that was written or can be read
afterwards searched for them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.parts.live_tree import LiveTree
from tests.parts.plugin import Parts

pytestmark = [pytest.mark.tree, pytest.mark.timeout(300)]

#: Everything that must never be seen has this in it.
MARK = "plantedx7"
POLICY = """
apiVersion: recist.io/v1alpha1
kind: SelfHealingPolicy
metadata: {name: secrets, namespace: recist-system}
spec:
  targetNamespaces: [vault]
  allowedActions: [restart, rollback]
  approval: {mode: never}
  llmConfig: {provider: openaiCompatible, model: m, baseUrl: URL, apiKeySecret: llm, consult: always}
  notifications:
    enabled: true
    channels:
    - {type: slack, urlSecret: {name: hook, key: url}, when: [detected, healed, escalated, approvalNeeded]}
"""
WORKLOAD = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: vault}}
---
apiVersion: v1
kind: Secret
metadata: {{name: database, namespace: vault}}
stringData: {{password: {MARK}-of-the-workload}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: keeper, namespace: vault}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: keeper}}}}
  template:
    metadata: {{labels: {{app: keeper}}}}
    spec:
      containers:
      - name: keeper
        image: registry.example.com/vault/keeper:1.0.0
        env:
        - {{name: DB_PASSWORD, value: {MARK}-in-the-open}}
        - {{name: DATABASE_URL, value: "postgres://u:{MARK}-in-a-url@db/x"}}
"""


BAD_RELEASE = f"""
spec:
  template:
    spec:
      containers:
      - name: keeper
        image: registry.example.com/vault/keeper:nope
        env:
        - {{name: DB_PASSWORD, value: {MARK}-of-the-release}}
"""


@pytest.fixture(scope="module")
def rude_server() -> Iterator[str]:
    """A language model and webhook that refuses, and says what it was given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = f"bad key {self.headers.get('Authorization')} at {self.path}"
            body = json.dumps({"error": {"message": said, "type": "invalid_request_error", "code": "401"}}).encode()
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tree(test_parts: Parts, rude_server: str) -> Iterator[LiveTree]:
    database = test_parts.new_database("secrets")
    if database:
        database = database.replace("recist@", f"recist:{MARK}-database@")
    planted = {
        "SECRET_KEY": f"{MARK}-" + "secret-key-" * 5,
        "LLM_API_KEY": f"{MARK}-llm-of-the-installation",
        "QDRANT_API_KEY": f"{MARK}-qdrant",
        "NOTIFY_WEBHOOK_URL": f"{rude_server}/hook",
        "NOTIFY_WEBHOOK_KEY": f"{MARK}-webhook-key",
        "NOTIFY_SLACK_URL": f"{rude_server}/services/{MARK}-slack",
        "NOTIFY_WHEN": "detected,healed,escalated",
        "NOTIFICATION_ALLOW_PRIVATE": "127.0.0.1",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in planted.items():
            patch.setenv(name, value)
        with LiveTree(Path(test_parts.directory) / "secrets", database) as started:
            yield started


def test_none_is_seen_anywhere(tree: LiveTree, rude_server: str) -> None:
    kubectl = tree.kubectl
    kubectl("apply", "-f", "-", stdin=WORKLOAD)
    for name, key, value in (
        ("llm", "key", f"{MARK}-llm-of-the-policy"),
        ("hook", "url", f"{rude_server}/s/{MARK}-hook"),
    ):
        kubectl("create", "secret", "generic", name, "--namespace", "recist-system", f"--from-literal={key}={value}")
    kubectl("apply", "-f", "-", stdin=POLICY.replace("URL", f"{rude_server}/v1"))
    kubectl("rollout", "status", "deployment/keeper", "--namespace", "vault", "--timeout", "60s")
    # The bad release changes a password too: what is put back, and the diff of it, have both of them.
    kubectl("patch", "deployment", "keeper", "--namespace", "vault", "--patch", BAD_RELEASE)
    with tree.http() as client:

        def ended() -> dict[str, Any] | None:
            events = client.get("/api/v1/events").json()["items"]
            return next((e for e in events if "vault" in json.dumps(e) and e.get("finishedAt")), None)

        event = tree.wait_for(ended, "an event of vault that has ended", seconds=150)
        name = event["name"]
        seen = {
            path: client.get(path).text
            for path in (
                f"/api/v1/events/{name}", f"/events/{name}/", "/", "/policies/", "/api/v1/policies", "/api/v1/audit",
                "/no-such-page/", "/api/v1/nothing", "/readyz", "/metrics",
            )
        }  # fmt: skip
    with httpx.Client(base_url=tree.url, trust_env=False) as stranger:
        for path in ("/", f"/events/{name}/", "/api/v1/events", "/admin/"):
            seen[f"stranger {path}"] = stranger.get(path).text
    seen["dump"] = tree.manage("dumpdata", "healing", "knowledge")
    seen["database"] = tree.manage("shell", "--no-imports", "-c", _ROWS)
    assert "sealed:1:" in seen["database"], "what is put back is kept, and cannot be read there"
    assert event["outcome"] == "healed", event
    assert f"{MARK}-in-the-open" in kubectl("get", "deployment", "keeper", "--namespace", "vault", "--output", "yaml")
    seen["kubectl"] = kubectl("get", "healingevents,selfhealingpolicies", "--all-namespaces", "--output", "yaml")
    seen["doctor"] = tree.manage("shell", "--no-imports", "-c", _DOCTOR)
    logs = sorted(tree.directory.glob("**/*.log"))
    assert logs
    seen |= {f"log {path.name}": path.read_text(errors="replace") for path in logs if "sandbox" not in path.name}
    assert any(f'"event_name": "{name}"' in text for text in seen.values()), "no line of the log is about the event"
    assert "llm-asked" in seen["database"], "the model was never asked"
    hidden = [MARK, base64.b64encode(MARK.encode()).decode()[:8]]
    found = {
        where: [text[max(0, text.index(secret) - 200) : text.index(secret) + 80] for secret in hidden if secret in text]
        for where, text in seen.items()
    }
    leaks = [f"{where}: {part}" for where, parts in found.items() for part in parts]
    assert not leaks, "\n\n".join(leaks)


_ROWS = """
from django.apps import apps
from django.db import connection
for model in [*apps.get_app_config("healing").get_models(), *apps.get_app_config("knowledge").get_models()]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {model._meta.db_table}")
        for row in cursor.fetchall():
            print(model._meta.db_table, row)
"""
_DOCTOR = """
from recist_web.doctor import checks, report, runner
print("\\n".join(report.in_lines(runner.run(checks.of(["default"])))))
"""
