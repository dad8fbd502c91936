"""Prometheus' HTTP API over the sandbox's store."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from healing.sandbox.signals import metrics
from healing.sandbox.signals.promql import BadQuery, Engine, EvaluationFailed, format_value
from healing.sandbox.signals.promql.engine import Query
from healing.sandbox.signals.promql.nodes import Range, Selector, Subquery
from healing.sandbox.signals.promql.parse import parse, parse_duration_seconds
from healing.sandbox.signals.promql.values import RangeSeries
from healing.sandbox.signals.rules import Rule, show_alert, show_rules
from healing.sandbox.signals.tsdb import Labels, Matcher, Store

_MAX_POINTS = 11_000
#: evaluations larger than this leave the event loop
_THREAD_POINTS = 200
Parameters = dict[str, list[str]]


class BadParameter(BadQuery):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f'invalid parameter "{name}": {why}')


def success(data: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": data})


def failure(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"status": "error", "errorType": kind, "error": message}, status_code=status)


async def parameters(request: Request) -> Parameters:
    """Query string and form body together, as Prometheus reads them."""
    found: Parameters = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    if request.method == "POST":
        body = (await request.body()).decode("utf-8", "replace")
        for name, values in parse_qs(body, keep_blank_values=True).items():
            found.setdefault(name, []).extend(values)
    return found


def parse_time(text: str) -> float:
    """Unix seconds or RFC 3339; raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = datetime.fromisoformat(text).timestamp()
        if "T" not in text:
            raise
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _time(params: Parameters, name: str, default: float | None, prefix: str = "") -> int:
    text = params.get(name, [""])[0]
    if not text and default is not None:
        return round(default * 1000)
    try:
        return round(parse_time(text) * 1000)
    except (ValueError, OverflowError):
        raise BadParameter(name, f'{prefix}cannot parse "{text}" to a valid timestamp') from None


def _duration(params: Parameters, name: str) -> float:
    text = params.get(name, [""])[0]
    try:
        return parse_duration_seconds(text)
    except ValueError:
        raise BadParameter(name, f'cannot parse "{text}" to a valid duration') from None


def json_time(milliseconds: int) -> int | float:
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def show_labels(labels: Labels) -> dict[str, str]:
    return dict(labels)


class PrometheusApi:
    """Routes under ``/prometheus``; ``now`` is the world's clock in seconds."""

    def __init__(self, store: Store, rules: list[Rule], now: Callable[[], float]) -> None:
        self.store = store
        self.rules = rules
        self.engine = Engine(store)
        self._now = now

    def routes(self, prefix: str = "/prometheus") -> list[BaseRoute]:
        api = f"{prefix}/api/v1"
        both = ["GET", "POST"]
        return [
            Route(f"{api}/query", self._guarded(self.query), methods=both),
            Route(f"{api}/query_range", self._guarded(self.query_range), methods=both),
            Route(f"{api}/series", self._guarded(self.series), methods=both),
            Route(f"{api}/labels", self._guarded(self.labels), methods=both),
            Route(f"{api}/label/{{name}}/values", self._guarded(self.label_values), methods=["GET"]),
            Route(f"{api}/alerts", self._guarded(self.alerts), methods=["GET"]),
            Route(f"{api}/rules", self._guarded(self.show_rules), methods=["GET"]),
            Route(f"{api}/targets", self._guarded(self.targets), methods=["GET"]),
            Route(f"{api}/metadata", self._guarded(self.metadata), methods=["GET"]),
            Route(f"{api}/status/buildinfo", self._guarded(self.buildinfo), methods=["GET"]),
            Route(f"{api}/query_exemplars", self._guarded(self.nothing), methods=both),
            Route(f"{prefix}/-/ready", _text("Prometheus Server is Ready.\n"), methods=["GET"]),
            Route(f"{prefix}/-/healthy", _text("Prometheus Server is Healthy.\n"), methods=["GET"]),
            Route(f"{prefix}/metrics", self.exposition, methods=["GET"]),
            Route(f"{prefix}/{{rest:path}}", _not_found, methods=["GET", "POST", "PUT", "DELETE"]),
        ]

    def _guarded(
        self, handler: Callable[[Parameters, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(await parameters(request), request)
            except BadQuery as error:
                return failure(400, "bad_data", str(error))
            except EvaluationFailed as error:
                return failure(422, "execution", str(error))
            except RecursionError:
                return failure(422, "execution", "query is nested too deeply")

        return guarded

    # queries

    async def query(self, params: Parameters, _request: Request) -> Response:
        now = _time(params, "time", self._now(), "Invalid time value for 'time': ")
        if "timeout" in params:
            _duration(params, "timeout")
        text = params.get("query", [""])[0]
        try:
            value = self.engine.instant(text, now)
        except BadParameter:
            raise
        except BadQuery as error:
            raise BadParameter("query", str(error)) from error
        when = json_time(now)
        if isinstance(value, str):
            return success({"resultType": "string", "result": [when, value]})
        if isinstance(value, float):
            return success({"resultType": "scalar", "result": [when, format_value(value)]})
        matrix = [_show_range(s) for s in value if isinstance(s, RangeSeries)]
        if matrix or isinstance(parse(text), Range | Subquery):
            return success({"resultType": "matrix", "result": matrix})
        vector = [
            {"metric": show_labels(sample[0]), "value": [when, format_value(sample[1])]}
            for sample in value
            if isinstance(sample, tuple)
        ]
        return success({"resultType": "vector", "result": vector})

    async def query_range(self, params: Parameters, _request: Request) -> Response:
        start, end = _time(params, "start", None), _time(params, "end", None)
        if end < start:
            raise BadParameter("end", "end timestamp must not be before start time")
        step = round(_duration(params, "step") * 1000)
        if step <= 0:
            raise BadParameter(
                "step", "zero or negative query resolution step widths are not accepted. Try a positive integer"
            )
        if (end - start) // step > _MAX_POINTS:
            raise BadQuery(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
                "(?step=XX)"
            )
        if "timeout" in params:
            _duration(params, "timeout")
        try:
            query = self.engine.prepare(params.get("query", [""])[0], start, end)
            found = await self._evaluate(query, start, end, step)
        except BadQuery as error:
            raise BadParameter("query", str(error)) from error
        result = [
            {
                "metric": show_labels(series.labels),
                "values": [[json_time(t), format_value(v)] for t, v in zip(series.times, series.values, strict=True)],
            }
            for series in found
        ]
        return success({"resultType": "matrix", "result": result})

    async def _evaluate(self, query: Query, start: int, end: int, step: int) -> list[Any]:
        if (end - start) // step <= _THREAD_POINTS:
            return list(self.engine.over(query, start, end, step))
        return list(await asyncio.to_thread(self.engine.over, query, start, end, step))

    # series and labels

    def _selectors(self, params: Parameters) -> list[list[Matcher]]:
        found = []
        for text in params.get("match[]", []):
            try:
                node = parse(text)
            except BadQuery as error:
                raise BadParameter("match[]", str(error)) from error
            if not isinstance(node, Selector):
                raise BadParameter("match[]", f'1:1: parse error: "{text}" is no vector selector')
            found.append(node.matchers)
        return found

    def _matching(self, params: Parameters) -> list[Labels]:
        start, end = _time(params, "start", 0.0), _time(params, "end", self._now())
        selectors = self._selectors(params)
        found: set[Labels] = set()
        for chosen in selectors or [[]]:
            found.update(self.store.series_between(chosen, start, end))
        return sorted(found)

    async def series(self, params: Parameters, _request: Request) -> Response:
        if not params.get("match[]"):
            raise BadQuery("no match[] parameter provided")
        return success([show_labels(labels) for labels in self._matching(params)])

    async def labels(self, params: Parameters, _request: Request) -> Response:
        return success(sorted({name for labels in self._matching(params) for name, _ in labels}))

    async def label_values(self, params: Parameters, request: Request) -> Response:
        name = request.path_params["name"]
        if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) is None:
            raise BadQuery(f'invalid label name: "{name}"')
        return success(sorted({v for labels in self._matching(params) for n, v in labels if n == name}))

    # about the server

    async def alerts(self, _params: Parameters, _request: Request) -> Response:
        return success({"alerts": [show_alert(alert) for rule in self.rules for alert in rule.active.values()]})

    async def show_rules(self, _params: Parameters, _request: Request) -> Response:
        return success(show_rules(self.rules))

    async def targets(self, _params: Parameters, _request: Request) -> Response:
        active = []
        for labels, value in self.store.latest():
            pairs = dict(labels)
            if pairs.pop("__name__") == "up":
                active.append(
                    {
                        "discoveredLabels": pairs,
                        "labels": pairs,
                        "scrapePool": pairs.get("job", ""),
                        "lastError": "" if value else "connection refused",
                        "health": "up" if value else "down",
                    }
                )
        return success({"activeTargets": active, "droppedTargets": []})

    async def metadata(self, params: Parameters, _request: Request) -> Response:
        wanted = params.get("metric", [""])[0]
        return success(
            {
                name: [{"type": kind, "help": help_text, "unit": ""}]
                for name, (kind, help_text) in metrics.METRICS.items()
                if (not wanted or name == wanted) and help_text
            }
        )

    async def buildinfo(self, _params: Parameters, _request: Request) -> Response:
        return success(
            {
                "version": "2.42.0+sandbox", "revision": "sandbox", "branch": "sandbox", "buildUser": "sandbox",
                "buildDate": "20260101-00:00:00", "goVersion": "none",
            }
        )  # fmt: skip

    async def nothing(self, _params: Parameters, _request: Request) -> Response:
        return success([])

    async def exposition(self, _request: Request) -> Response:
        """The newest sample of everything, in the text format, for another Prometheus to scrape."""
        return PlainTextResponse(expose(self.store), media_type="text/plain; version=0.0.4")


def expose(store: Store) -> str:
    families: dict[str, list[str]] = {}
    for labels, value in sorted(store.latest()):
        pairs = dict(labels)
        name = pairs.pop("__name__")
        if name in ("up", "ALERTS"):
            continue  # Prometheus makes these itself
        shown = ",".join(f'{key}="{_escape(text)}"' for key, text in pairs.items())
        families.setdefault(metrics.family(name), []).append(f"{name}{{{shown}}} {format_value(value)}")
    lines: list[str] = []
    for family, samples in families.items():
        kind, help_text = metrics.METRICS.get(family) or (_kind(family), "")
        lines += [f"# HELP {family} {help_text}", f"# TYPE {family} {kind}", *samples]
    return "\n".join(lines) + "\n"


def _kind(family: str) -> str:
    if family.endswith("_total"):
        return "counter"
    return "gauge" if family.startswith("kube_") else "untyped"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _show_range(series: RangeSeries) -> dict[str, Any]:
    pairs = zip(series.times, series.values, strict=True)
    return {"metric": show_labels(series.labels), "values": [[json_time(t), format_value(v)] for t, v in pairs]}


def _text(body: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return PlainTextResponse(body)

    return answer


async def _not_found(_request: Request) -> Response:
    return PlainTextResponse("404 page not found\n", status_code=404)
