"""Loki's HTTP query API over the sandbox's log lines."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from healing.sandbox.signals import loki_push
from healing.sandbox.signals.logql import LogQLError, LogQuery, MetricNode, duration_seconds, parse_logql, run_stages
from healing.sandbox.signals.logql.evaluate import Points, evaluate, pipeline_error
from healing.sandbox.signals.logql.nodes import LineLabels, RangeAggregation, selectors
from healing.sandbox.signals.logql.tokens import size_bytes
from healing.sandbox.signals.logstore import LogStore, detect_level
from healing.sandbox.signals.prometheus import Parameters, parameters
from healing.sandbox.signals.promql import format_value
from healing.sandbox.signals.tsdb import Labels

_MAX_LIMIT = 5000
_DEFAULT_LIMIT = 100
_MAX_STEPS = 11_000
_SECOND = 1_000_000_000
_JSON = "application/json; charset=UTF-8"


def _success(data: Any) -> JSONResponse:
    body = {"status": "success"} | ({"data": data} if data is not None else {})
    return JSONResponse(body, media_type=_JSON)


class LokiApi:
    def __init__(self, store: LogStore, now: Callable[[], float]) -> None:
        self.store = store
        self._now = now

    def routes(self, prefix: str = "/loki") -> list[BaseRoute]:
        api = f"{prefix}/api/v1"
        both = ["GET", "POST"]
        return [
            Route(f"{api}/query_range", self._guarded(self.query_range), methods=both),
            Route(f"{api}/query", self._guarded(self.query), methods=both),
            Route(f"{api}/labels", self._guarded(self.labels), methods=both),
            Route(f"{api}/label/{{name}}/values", self._guarded(self.label_values), methods=["GET"]),
            Route(f"{api}/series", self._guarded(self.series), methods=both),
            Route(f"{api}/push", self._push, methods=["POST"]),
            Route(f"{api}/status/buildinfo", self._buildinfo, methods=["GET"]),
            Route(f"{prefix}/ready", _ready, methods=["GET"]),
            Route(f"{prefix}/{{rest:path}}", _not_found, methods=["GET", "POST", "PUT", "DELETE"]),
        ]

    def _guarded(self, handler: Callable[[Parameters, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return handler(await parameters(request), request)
            except LogQLError as error:
                return PlainTextResponse(str(error), status_code=400)

        return guarded

    # parameters

    def _time(self, params: Parameters, name: str, default_ns: int) -> int:
        text = params.get(name, [""])[0]
        if not text:
            return default_ns
        try:
            if "T" in text:
                return round(datetime.fromisoformat(text).timestamp() * 1e9)
            if "." in text:
                return round(float(text) * 1e9)
            value = int(text)
        except ValueError:
            raise LogQLError(
                f"could not parse '{name}' parameter: strconv.ParseInt: parsing \"{text}\": invalid syntax"
            ) from None
        # ten digits or fewer are seconds, as in Loki
        return value * _SECOND if len(text) <= 10 else value

    def _range(self, params: Parameters) -> tuple[int, int]:
        now = round(self._now() * 1e9)
        end = self._time(params, "end", now)
        since = params.get("since", [""])[0]
        back = round(duration_seconds(since) * 1e9) if since else 3600 * _SECOND
        start = self._time(params, "start", min(end, now) - back)
        if end <= start:
            raise LogQLError("end timestamp must not be before or equal to start time")
        return start, end

    def _limit(self, params: Parameters) -> int:
        text = params.get("limit", [str(_DEFAULT_LIMIT)])[0]
        try:
            limit = int(text)
        except ValueError:
            raise LogQLError(
                f"could not parse 'limit' parameter: strconv.Atoi: parsing \"{text}\": invalid syntax"
            ) from None
        if limit > _MAX_LIMIT:
            raise LogQLError(
                f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {_MAX_LIMIT})"
            )
        if limit <= 0:
            raise LogQLError("limit must be a positive value")
        return limit

    # handlers

    def query_range(self, params: Parameters, _request: Request) -> Response:
        start, end = self._range(params)
        limit = self._limit(params)
        direction = params.get("direction", ["backward"])[0].lower()
        if direction not in ("forward", "backward"):
            raise LogQLError(f"invalid direction '{direction}'")
        query = parse_logql(params.get("query", [""])[0])
        if isinstance(query, LogQuery):
            result = self._lines(query, start, end, limit, newest_first=direction == "backward")
            return _success({"resultType": "streams", "result": result, "stats": _stats(result)})
        matrix = self._matrix(query, start, end, self._step(params, start, end))
        return _success({"resultType": "matrix", "result": matrix, "stats": _stats([])})

    def query(self, params: Parameters, _request: Request) -> Response:
        query = parse_logql(params.get("query", [""])[0])
        if isinstance(query, LogQuery):
            raise LogQLError(
                "log queries are not supported as an instant query type, please change your query to a range query type"
            )
        now = self._time(params, "time", round(self._now() * 1e9))
        vector = evaluate(query, now, self._points)
        when = round(now / 1e9, 3)
        if isinstance(vector, float):
            data = {"resultType": "scalar", "result": [when, format_value(vector)], "stats": _stats([])}
            return _success(data)
        result = [{"metric": dict(labels), "value": [when, format_value(value)]} for labels, value in vector]
        return _success({"resultType": "vector", "result": result, "stats": _stats([])})

    def labels(self, params: Parameters, _request: Request) -> Response:
        start, end = self._range(params)
        found = sorted({name for stream in self.store.streams([], start, end) for name, _ in stream.labels})
        return _success(found or None)

    def label_values(self, params: Parameters, request: Request) -> Response:
        start, end = self._range(params)
        name = request.path_params["name"]
        matchers = []
        if text := params.get("query", [""])[0]:
            matchers = [m for log in selectors(parse_logql(text)) for m in log.matchers]
        streams = self.store.streams(matchers, start, end)
        return _success(sorted({v for s in streams for n, v in s.labels if n == name}) or None)

    def series(self, params: Parameters, _request: Request) -> Response:
        start, end = self._range(params)
        found: list[dict[str, str]] = []
        for text in params.get("match[]", []) or params.get("match", []):
            parsed = parse_logql(text)
            if not isinstance(parsed, LogQuery):
                raise LogQLError("only label matchers are supported")
            for stream in self.store.streams(parsed.matchers, start, end):
                if dict(stream.labels) not in found:
                    found.append(dict(stream.labels))
        return _success(found)

    async def _buildinfo(self, _request: Request) -> Response:
        return JSONResponse({"version": "3.0.0-sandbox", "revision": "sandbox", "branch": "main", "goVersion": "none"})

    # evaluation

    def _entries(self, query: LogQuery, start: int, end: int) -> list[tuple[LineLabels, int, str]]:
        found = []
        for stream in self.store.streams(query.matchers, start, end):
            for time_ns, text, metadata in self.store.between(stream, start, end):
                labels = LineLabels(dict(stream.labels) | dict(metadata) | {"detected_level": detect_level(text)})
                kept = run_stages(query.stages, text, labels)
                if kept is not None:
                    found.append((labels, time_ns, kept))
        return found

    def _points(self, node: RangeAggregation, start: int, end: int) -> Points:
        found: Points = []
        for labels, time_ns, text in self._entries(node.log, start + 1, end + 1):
            value = float(len(text.encode())) if node.function.startswith("bytes") else 1.0
            if node.unwrap is not None:
                raw = labels.pop(node.unwrap.label, None)
                if raw is None:
                    continue
                try:
                    value = _CONVERSIONS[node.unwrap.conversion](raw)
                except (ValueError, LogQLError) as error:
                    labels[node.unwrap.label] = raw
                    labels.fail("SampleExtractionErr", str(error))
                if run_stages(node.later, text, labels) is None:
                    continue
            key = tuple(sorted((name, text) for name, text in labels.items() if text))
            if labels.get("__error__"):
                raise pipeline_error(key)
            found.append((key, time_ns, value))
        return found

    def _lines(self, query: LogQuery, start: int, end: int, limit: int, *, newest_first: bool) -> list[dict[str, Any]]:
        entries = sorted(self._entries(query, start, end), key=lambda e: e[1], reverse=newest_first)[:limit]
        streams: dict[Labels, list[list[str]]] = {}
        for labels, time_ns, text in entries:
            key = tuple(sorted((name, value) for name, value in labels.items() if value))
            streams.setdefault(key, []).append([str(time_ns), text])
        return [{"stream": dict(labels), "values": values} for labels, values in sorted(streams.items())]

    def _step(self, params: Parameters, start: int, end: int) -> int:
        text = params.get("step", [""])[0]
        if not text:
            return max(_SECOND, (end - start) // 250 // _SECOND * _SECOND)
        try:
            seconds = float(text)
        except ValueError:
            seconds = duration_seconds(text)
        if seconds <= 0:
            raise LogQLError("zero or negative query resolution step widths are not accepted. Try a positive integer")
        if (end - start) / (seconds * _SECOND) > _MAX_STEPS:
            raise LogQLError(
                "exceeded maximum resolution of 11,000 points per timeseries. Try increasing the value of the step "
                "parameter"
            )
        return round(seconds * _SECOND)

    def _matrix(self, query: MetricNode, start: int, end: int, step: int) -> list[dict[str, Any]]:
        # Loki aligns both ends to multiples of the step, the end upwards
        first, last = start // step * step, math.ceil(end / step) * step
        if first < start and (start - first) >= step:
            first += step
        cached: dict[int, tuple[list[int], Points]] = {}

        def points(node: RangeAggregation, begin: int, finish: int) -> Points:
            """Lines are read once for all steps."""
            if id(node) not in cached:
                reach = round((node.range_seconds + node.offset_seconds) * 1e9)
                read = sorted(self._points(node, first - reach, last), key=lambda point: point[1])
                cached[id(node)] = [time_ns for _, time_ns, _ in read], read
            times, read = cached[id(node)]
            return read[bisect_right(times, begin) : bisect_right(times, finish)]

        found: dict[Labels, list[list[Any]]] = {}
        for now in range(first, last + 1, step):
            value = evaluate(query, now, points)
            for labels, number in value if isinstance(value, list) else [((), value)]:
                when = now / 1e9
                found.setdefault(labels, []).append([int(when) if when == int(when) else when, format_value(number)])
        return [{"metric": dict(labels), "values": values} for labels, values in sorted(found.items())]

    async def _push(self, request: Request) -> Response:
        return loki_push.push(self.store, await request.body(), request.headers.get("content-type", ""), self._now())


_CONVERSIONS: dict[str, Callable[[str], float]] = {
    "": float,
    "duration": duration_seconds,
    "duration_seconds": duration_seconds,
    "bytes": size_bytes,
}


def _stats(streams: list[dict[str, Any]]) -> dict[str, Any]:
    lines = sum(len(stream["values"]) for stream in streams)
    size = sum(len(text) for stream in streams for _, text in stream["values"])
    return {
        "summary": {
            "bytesProcessedPerSecond": 0, "linesProcessedPerSecond": 0, "totalBytesProcessed": size,
            "totalLinesProcessed": lines, "execTime": 0.001, "queueTime": 0, "subqueries": 0,
            "totalEntriesReturned": lines, "splits": 0, "shards": 0, "totalPostFilterLines": lines,
            "totalStructuredMetadataBytesProcessed": 0,
        }
    }  # fmt: skip


async def _ready(_request: Request) -> Response:
    return PlainTextResponse("ready\n")


async def _not_found(_request: Request) -> Response:
    return PlainTextResponse("404 page not found\n", status_code=404)
