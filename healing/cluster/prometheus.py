"""`healing.ports.Metrics` over Prometheus' HTTP API (and what speaks it: Thanos, Mimir, VictoriaMetrics)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from healing.cluster.http import HttpSource
from healing.cluster.source_access import SourceAccess
from healing.ports.errors import BadResponse, Invalid
from healing.ports.metrics import Sample, Series

_NAME = "Prometheus"


class Prometheus:
    """Safe to share between threads. ``url`` is the server's root (with the path prefix, where it has one)."""

    def __init__(self, url: str, access: SourceAccess | None = None) -> None:
        self._source = HttpSource(url, _NAME, access)

    def close(self) -> None:
        """Give the connections back; nothing can be asked after that."""
        self._source.close()

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        parameters = {"query": promql}
        if at is not None:
            parameters["time"] = _time(at)
        result_type, result = self._ask("/api/v1/query", parameters, timeout_seconds)
        try:
            if result_type == "vector":
                return [_sample(_labels(entry), entry["value"]) for entry in result]
            if result_type == "scalar":
                return [_sample({}, result)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BadResponse(f"{_NAME}: a sample has an unknown shape ({error!r}).") from error
        raise Invalid(f"{_NAME}: the query gives a {result_type}, not instant values: {promql}")

    def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_seconds: float, timeout_seconds: float | None = None
    ) -> list[Series]:
        parameters = {"query": promql, "start": _time(start), "end": _time(end), "step": f"{step_seconds:g}"}
        result_type, result = self._ask("/api/v1/query_range", parameters, timeout_seconds)
        if result_type != "matrix":
            raise BadResponse(f"{_NAME}: a range query was answered with a {result_type}.")
        try:
            return [
                Series(_labels(entry), tuple((float(at), float(value)) for at, value in entry["values"]))
                for entry in result
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BadResponse(f"{_NAME}: a series has an unknown shape ({error!r}).") from error

    def _ask(self, path: str, parameters: Mapping[str, str], timeout_seconds: float | None) -> tuple[str, Any]:
        # By POST: a query over many namespaces does not fit into a URL.
        body = self._source.call(path, parameters, post=True, timeout_seconds=timeout_seconds)
        try:
            answer = json.loads(body)
            if answer["status"] != "success":
                raise Invalid(f"{_NAME}: {answer.get('errorType')}: {answer.get('error')}")
            return str(answer["data"]["resultType"]), answer["data"]["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadResponse(f"{_NAME}: the answer is not what its API promises ({error!r}).") from error


def _labels(entry: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in entry["metric"].items()}


def _sample(labels: Mapping[str, str], pair: Any) -> Sample:
    at, value = pair
    return Sample(labels=labels, value=float(value), time=float(at))  # float() reads "NaN" and "+Inf"


def _time(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"
