"""Restarts that come again and again: when the next one is due."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from healing.forecasting.model import Foreseen, Scale
from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Metrics
from healing.queries import trends
from healing.queries.model import NAMESPACES_AT_ONCE, in_namespaces
from knowledge.forecasts import Breach, next_time

_CALL_SECONDS = 8.0
#: Shorter pauses are a crash loop, which is a fault and no forecast.
_CRASH_LOOP_SECONDS = 120.0


def look(metrics: Metrics, namespaces: Iterable[str], scale: Scale, now: datetime) -> list[Foreseen]:
    """Containers whose next restart is due within the horizon. Raises `healing.ports.errors`."""
    chosen, found = sorted(set(namespaces)), []
    for start in range(0, len(chosen), NAMESPACES_AT_ONCE):
        text = trends.CONTAINER_STARTS.text(where=in_namespaces(chosen[start : start + NAMESPACES_AT_ONCE]))
        series = metrics.query_range(
            text,
            start=now - timedelta(seconds=scale.window_seconds),
            end=now,
            step_seconds=scale.step_seconds,
            timeout_seconds=_CALL_SECONDS,
        )
        for one in series:
            # the first start is no restart
            starts = sorted({round(value) for _, value in one.points})[1:]
            due = next_time([float(at) for at in starts], now.timestamp())
            if due is None or due.every_seconds < _CRASH_LOOP_SECONDS or due.seconds > scale.horizon_seconds:
                continue
            labels = one.labels
            found.append(
                Foreseen(
                    WarningKind.RESTARTS,
                    ObjectRef("Pod", labels.get("namespace", ""), labels.get("pod", "")),
                    labels.get("container", ""),
                    "restarts",
                    float(due.times),
                    float(due.times + 1),
                    Breach(due.seconds, due.earliest_seconds, due.latest_seconds),
                    min(0.9, 0.5 + 0.1 * due.times),
                    1 / due.every_seconds,
                    tuple((float(at), float(number)) for number, at in enumerate(starts, 1)),
                    text,
                    {
                        "everySeconds": round(due.every_seconds),
                        "accelerates": due.accelerates,
                        "scale": scale.name,
                        "samples": due.times,
                        "spanSeconds": round(scale.window_seconds),
                    },
                )
            )
    return found
