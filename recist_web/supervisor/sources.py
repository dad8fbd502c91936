"""Prometheus and Loki, tried once at the start: a wrong address is told at once, not in a log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from healing.cluster.source_access import SourceAccess
from healing.ports.errors import SourceError

if TYPE_CHECKING:
    from recist_web.supervisor.launch import Target

TIMEOUT_SECONDS = 3.0


def unreachable(
    target: Target, prometheus_access: SourceAccess | None = None, loki_access: SourceAccess | None = None
) -> Iterator[str]:
    """A line for each that does not answer now. Nothing waits for them: they are asked again and again."""
    if target.prometheus_url:
        prometheus = Prometheus(target.prometheus_url, prometheus_access)
        try:
            prometheus.query("vector(1)", timeout_seconds=TIMEOUT_SECONDS)
        except SourceError as error:
            yield f"{target.prometheus_url} does not answer: {error}\n  Without Prometheus no metrics are watched."
        finally:
            prometheus.close()
    if target.loki_url:
        loki = Loki(target.loki_url, loki_access)
        now = datetime.now(UTC)
        try:
            loki.query_range(
                '{namespace="kube-system"}',
                start=now - timedelta(seconds=1),
                end=now,
                limit=1,
                timeout_seconds=TIMEOUT_SECONDS,
            )
        except SourceError as error:
            yield f"{target.loki_url} does not answer: {error}\n  Without Loki logs are read from the cluster."
        finally:
            loki.close()
