"""The alert rules and the Grafana dashboard: parsed by a real PromQL parser, about metrics and labels that we have, and
evaluated: each rule fires when that is so, and is silent when all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from starlette.applications import Starlette

from healing.sandbox.signals.prometheus import PrometheusApi
from healing.sandbox.signals.tsdb import Store, make_labels
from recist_web.environment import PROJECT_DIR

FILES = PROJECT_DIR / "helm" / "recist" / "files"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
END = 1_795_392_000.0
STEP_SECONDS, SPAN_SECONDS = 15, 3600
#: Labels that Prometheus adds to what it scrapes.
OF_SCRAPES = {"job", "instance", "pod", "namespace", "container", "service", "endpoint"}
OF_OTHERS = {"process_resident_memory_bytes"}


def metrics() -> dict[str, set[str]]:
    """Every documented metric with its labels; tests/observability/test_metrics.py holds them to what is told."""
    page = (PROJECT_DIR / "docs" / "observability.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for name, labels, kind in re.findall(r"^\| `(recist_[a-z_]+)(?:\{([^}]*)\})?` \| (\w+) \|", page, re.MULTILINE):
        known = set(labels.split(",")) - {""}
        found[name] = known
        if kind == "histogram":
            found |= {f"{name}_bucket": known | {"le"}, f"{name}_sum": known, f"{name}_count": known}
    return found


def panel_expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + list(panel_expressions())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(EXPRESSIONS)])
def test_it_is_promql_about_metrics_that_we_have(where: str, expression: str) -> None:
    promql_parser.parse(expression)
    known = metrics()
    text = re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"\b(?:recist|process)_[a-z_]+\b", text))
    assert names, where
    assert names - set(known) - OF_OTHERS == set(), where
    labels = {label for name in names & set(known) for label in known[name]} | OF_SCRAPES
    used = {part.strip() for group in re.findall(r"(?:by|on|without) \(([^)]*)\)", text) for part in group.split(",")}
    used |= set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"\"", text))
    assert used - labels == set(), where


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    places: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not places & cells, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        places |= cells


def test_every_rule_has_a_section_on_what_to_do() -> None:
    page = (PROJECT_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert f"### {rule['alert']}\n" in page, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


Series = tuple[str, dict[str, str], float, float]


def well() -> list[Series]:
    """(name, labels, value at the beginning, value at the end): an installation in which nothing is wrong."""
    outcome = {"cluster": "shop", "cause": "BadRollout"}
    phases = {"Containment": 5.0, "Diagnosis": 15.0, "MetaCognition": 20.0, "Knowledge": 5.0}
    found: list[Series] = [
        ("recist_build_info", {"version": "1"}, 1, 1),
        ("recist_database_up", {}, 1, 1),
        ("recist_valkey_up", {}, 1, 1),
        ("recist_watch_up", {"cluster": "shop"}, 1, 1),
        ("recist_watch_lag_seconds", {"cluster": "shop"}, 0.2, 0.2),
        ("recist_queue_oldest_age_seconds", {"queue": "containment"}, 0, 0.1),
        ("recist_runs_due_oldest_age_seconds", {}, 0, 1),
        (
            "recist_task_last_success_timestamp_seconds",
            {"task": "healing.tasks.sweep"},
            END - SPAN_SECONDS - 1,
            END - 1,
        ),
        ("recist_approvals_next_expiry_seconds", {}, 1800, 1800),
        ("recist_events_finished_total", {**outcome, "outcome": "healed"}, 100, 120),
        ("recist_events_finished_total", {**outcome, "outcome": "escalated"}, 3, 4),
        ("recist_actions_total", {"action": "restart", "result": "applied"}, 10, 30),
        ("recist_actions_total", {"action": "restart", "result": "undoFailed"}, 1, 1),
        ("recist_llm_calls_total", {"model": "m", "state": "used"}, 10, 100),
        ("recist_llm_calls_total", {"model": "m", "state": "failed"}, 10, 12),
        ("recist_memory_pending_oldest_age_seconds", {}, 0, 3),
        ("recist_mirror_behind", {}, 0, 1),
        ("recist_notifications_total", {"channel": "slack", "state": "delivered"}, 0, 20),
        ("recist_notifications_total", {"channel": "slack", "state": "failed"}, 2, 2),
        ("recist_halts", {}, 0, 0),
    ]
    for phase, budget in phases.items():
        found.append(("recist_phase_budget_seconds", {"phase": phase}, budget, budget))
        for bound, share in (("1", 0.5), ("3", 0.99), ("5", 1.0), ("15", 1.0), ("60", 1.0), ("+Inf", 1.0)):
            found.append(("recist_phase_duration_seconds_bucket", {"phase": phase, "le": bound}, 0, 100 * share))
    return found


#: What is changed for the rule to fire: name, labels that single a series out, its new beginning and end (None: gone).
TROUBLE: dict[str, list[tuple[str, dict[str, str], float | None, float]]] = {
    "ReCiStDown": [("recist_build_info", {}, None, 0)],
    "ReCiStDatabaseDown": [("recist_database_up", {}, 0, 0)],
    "ReCiStValkeyDown": [("recist_valkey_up", {}, 0, 0)],
    "ReCiStNotWatching": [("recist_watch_up", {}, 0, 0)],
    "ReCiStWatchLate": [("recist_watch_lag_seconds", {}, 12, 12)],
    "ReCiStQueueLate": [("recist_queue_oldest_age_seconds", {}, 1, 20)],
    "ReCiStRunsLate": [("recist_runs_due_oldest_age_seconds", {}, 0, 100)],
    "ReCiStBeatSilent": [("recist_task_last_success_timestamp_seconds", {}, END - 400, END - 400)],
    "ReCiStApprovalExpiring": [("recist_approvals_next_expiry_seconds", {}, 1000, 200)],
    "ReCiStHealingFails": [("recist_events_finished_total", {"outcome": "escalated"}, 0, 80)],
    "ReCiStUndoFailed": [("recist_actions_total", {"result": "undoFailed"}, 1, 5)],
    "ReCiStPhaseOverBudget": [("recist_phase_duration_seconds_bucket", {"phase": "Knowledge", "le": "5"}, 0, 80)]
    + [("recist_phase_duration_seconds_bucket", {"phase": "Knowledge", "le": le}, 0, 10.0) for le in ("1", "3")],
    "ReCiStLanguageModelFails": [("recist_llm_calls_total", {"state": "failed"}, 0, 300)],
    "ReCiStMemoryDown": [("recist_memory_pending_oldest_age_seconds", {}, 0, 400)],
    "ReCiStMirrorBehind": [("recist_mirror_behind", {}, 0, 30)],
    "ReCiStNotificationsFail": [("recist_notifications_total", {"state": "failed"}, 0, 4)],
    "ReCiStHalted": [("recist_halts", {}, 1, 1)],
}


def changed(series: list[Series], name: str, labels: dict[str, str], start: float | None, end: float) -> list[Series]:
    found, hits = [], 0
    for other, of, first, last in series:
        if other == name and labels.items() <= of.items():
            hits += 1
            if start is not None:
                found.append((other, of, start, end))
        else:
            found.append((other, of, first, last))
    assert hits, (name, labels)
    return found


def server(series: list[Series]) -> httpx.ASGITransport:
    """Two web processes that tell the same, as two replicas do."""
    store = Store(2 * SPAN_SECONDS)
    for second in range(0, SPAN_SECONDS + 1, STEP_SECONDS):
        for pod in ("web-1", "web-2"):
            samples = [
                (make_labels(name, [*labels.items(), ("pod", pod)]), start + (end - start) * second / SPAN_SECONDS)
                for name, labels, start, end in series
            ]
            store.write(pod, int((END - SPAN_SECONDS + second) * 1000), samples)
    api = PrometheusApi(store, [], lambda: END)
    return httpx.ASGITransport(Starlette(routes=api.routes("")))


async def firing(series: list[Series]) -> set[str]:
    found = set()
    async with httpx.AsyncClient(transport=server(series), base_url="http://prometheus") as client:
        for rule in RULES:
            answer = await client.post("/api/v1/query", data={"query": rule["expr"], "time": str(END)})
            assert answer.status_code == 200, f"{rule['alert']}: {answer.text}"
            if answer.json()["data"]["result"]:
                found.add(rule["alert"])
    return found


async def test_nothing_fires_when_all_is_well() -> None:
    assert await firing(well()) == set()


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
async def test_each_rule_fires_for_its_trouble_alone(alert: str) -> None:
    series = well()
    for change in TROUBLE[alert]:
        series = changed(series, *change)
    assert await firing(series) == {alert}
