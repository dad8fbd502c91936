"""Addresses under which a person finds evidence again."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode


def prometheus_graph(base_url: str, promql: str, end: datetime, minutes: int = 60) -> str:
    """A graph in Prometheus' own page; empty without a base URL."""
    if not base_url:
        return ""
    query = {
        "g0.expr": promql,
        "g0.tab": "0",
        "g0.range_input": f"{minutes}m",
        "g0.end_input": end.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return f"{base_url.rstrip('/')}/graph?{urlencode(query)}"


def loki_query(base_url: str, logql: str, end: datetime, minutes: int = 15) -> str:
    """The lines as Loki's API answers them; empty without a base URL."""
    if not base_url:
        return ""
    start = end - timedelta(minutes=minutes)
    query = {"query": logql, "start": str(int(start.timestamp())), "end": str(int(end.timestamp()) + 1), "limit": "500"}
    return f"{base_url.rstrip('/')}/loki/api/v1/query_range?{urlencode(query)}"
