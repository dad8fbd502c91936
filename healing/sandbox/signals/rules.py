"""Alerting rules: evaluated every few seconds, shown by ``/alerts`` and ``/rules``, written as ``ALERTS``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from healing.sandbox.signals.promql import BadQuery, Engine, EvaluationFailed
from healing.sandbox.signals.promql.parse import parse_duration_seconds
from healing.sandbox.signals.promql.values import without_name
from healing.sandbox.signals.tsdb import Labels, make_labels


@dataclass(slots=True)
class Alert:
    labels: dict[str, str]
    annotations: dict[str, str]
    active_at: float
    value: float
    firing: bool = False


@dataclass(slots=True)
class Rule:
    group: str
    name: str
    expr: str
    for_seconds: float
    labels: dict[str, str]
    annotations: dict[str, str]
    active: dict[Labels, Alert] = field(default_factory=dict)
    last_error: str = ""
    evaluated_at: float = 0.0

    def evaluate(self, engine: Engine, now: float) -> None:
        self.evaluated_at = now
        try:
            value = engine.instant(self.expr, int(now * 1000))
        except (BadQuery, EvaluationFailed) as error:
            self.last_error = str(error)
            return
        self.last_error = ""
        seen: set[Labels] = set()
        for sample in value if isinstance(value, list) else []:
            if not isinstance(sample, tuple):
                continue
            key, number = without_name(sample[0]), sample[1]
            seen.add(key)
            alert = self.active.get(key)
            if alert is None:
                labels = dict(key) | self.labels | {"alertname": self.name}
                annotations = {n: _template(text, dict(key), number) for n, text in self.annotations.items()}
                alert = self.active[key] = Alert(labels, annotations, now, number)
            alert.value = number
            alert.firing = now - alert.active_at >= self.for_seconds
        for key in [key for key in self.active if key not in seen]:
            del self.active[key]

    @property
    def state(self) -> str:
        if any(alert.firing for alert in self.active.values()):
            return "firing"
        return "pending" if self.active else "inactive"


def _template(text: str, labels: dict[str, str], value: float) -> str:
    text = re.sub(r"\{\{\s*\$labels\.(\w+)\s*\}\}", lambda m: labels.get(m.group(1), ""), text)
    return re.sub(r"\{\{\s*\$value\s*\}\}", f"{value:.3g}", text)


def load_rules() -> list[Rule]:
    data: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8"))
    return [
        Rule(
            group["name"],
            rule["alert"],
            rule["expr"],
            parse_duration_seconds(str(rule.get("for", 0))),
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for group in data["groups"]
        for rule in group["rules"]
    ]


def alerts_series(rules: list[Rule]) -> list[tuple[Labels, float]]:
    return [
        (make_labels("ALERTS", [*alert.labels.items(), ("alertstate", "firing" if alert.firing else "pending")]), 1.0)
        for rule in rules
        for alert in rule.active.values()
    ]


def show_alert(alert: Alert) -> dict[str, Any]:
    return {
        "labels": dict(sorted(alert.labels.items())),
        "annotations": alert.annotations,
        "state": "firing" if alert.firing else "pending",
        "activeAt": show_time(alert.active_at),
        "value": go_exponent(alert.value),
    }


def go_exponent(value: float) -> str:
    """Go's ``%e`` with the shortest digits: ``1e+00``."""
    digits = format(value, ".16e")
    for precision in range(17):
        digits = format(value, f".{precision}e")
        if float(digits) == value:
            break
    return digits


def show_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def show_rules(rules: list[Rule]) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {}
    for rule in rules:
        group = groups.setdefault(
            rule.group,
            {"name": rule.group, "file": "rules.yaml", "rules": [], "interval": 5, "limit": 0,
             "evaluationTime": 0.001, "lastEvaluation": show_time(rule.evaluated_at)},
        )  # fmt: skip
        group["rules"].append(
            {
                "state": rule.state,
                "name": rule.name,
                "query": rule.expr,
                "duration": rule.for_seconds,
                "keepFiringFor": 0,
                "labels": rule.labels,
                "annotations": rule.annotations,
                "alerts": [show_alert(alert) for alert in rule.active.values()],
                "health": "err" if rule.last_error else "ok",
                "evaluationTime": 0.0005,
                "lastEvaluation": show_time(rule.evaluated_at),
                "type": "alerting",
            }
            | ({"lastError": rule.last_error} if rule.last_error else {})
        )
    return {"groups": list(groups.values())}
