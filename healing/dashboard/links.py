"""Ways out of the page: evidence in Grafana, Loki or Prometheus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

_TO_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Link:
    """``words`` says where it leads."""

    href: str
    words: str


def link_of(link: str, kind: str) -> Link | None:
    """``link`` is where the diagnosis found it: a query of Loki's API or Prometheus' graph page. With `GRAFANA_URL`
    the same query is opened in Grafana's Explore, which people know how to read."""
    if not link:
        return None
    parts = urlsplit(link)
    query = parse_qs(parts.query)
    if "/loki/api/" in parts.path and (logql := query.get("query")):
        source, expression, words = settings.GRAFANA_LOKI_DATASOURCE, logql[0], _("open in Loki")
        span = (_milliseconds(query, "start"), _milliseconds(query, "end"))
    elif promql := query.get("g0.expr"):
        source, expression, words = settings.GRAFANA_PROMETHEUS_DATASOURCE, promql[0], _("open in Prometheus")
        span = ("", "")
    else:
        return Link(link, _("open"))
    if not settings.GRAFANA_URL:
        return Link(link, words)
    return Link(explore(settings.GRAFANA_URL, source, expression, *span), _("open in Grafana"))


def explore(base_url: str, datasource: str, expression: str, start: str = "", end: str = "") -> str:
    """Explore's address for one query; ``start`` and ``end`` in milliseconds, or the last hour."""
    pane = {
        "datasource": datasource,
        "queries": [{"refId": "A", "expr": expression}],
        "range": {"from": start or "now-1h", "to": end or "now"},
    }
    query = {"schemaVersion": "1", "panes": json.dumps({"a": pane}, separators=(",", ":"))}
    return f"{str(base_url).rstrip('/')}/explore?{urlencode(query)}"


def _milliseconds(query: dict[str, list[str]], name: str) -> str:
    seconds = query.get(name, [""])[0]
    return str(int(seconds) * _TO_MILLISECONDS) if seconds.isascii() and seconds.isdigit() else ""
