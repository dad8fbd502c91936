"""`healing.ports.Logs` over Loki's HTTP API."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from healing.cluster.http import HttpSource
from healing.cluster.source_access import SourceAccess
from healing.ports.errors import BadResponse, Invalid
from healing.ports.logs import LogLine

_NAME = "Loki"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Loki:
    """Safe to share between threads. ``url`` is the server's root."""

    def __init__(self, url: str, access: SourceAccess | None = None) -> None:
        self._source = HttpSource(url, _NAME, access)

    def close(self) -> None:
        """Give the connections back; nothing can be asked after that."""
        self._source.close()

    def query_range(
        self,
        logql: str,
        *,
        start: datetime,
        end: datetime,
        limit: int = 1000,
        newest_first: bool = True,
        timeout_seconds: float | None = None,
    ) -> list[LogLine]:
        parameters = {
            "query": logql,
            "start": str(_nanoseconds(start)),
            "end": str(_nanoseconds(end)),
            "limit": str(limit),
            "direction": "backward" if newest_first else "forward",
        }
        body = self._source.call("/loki/api/v1/query_range", parameters, post=False, timeout_seconds=timeout_seconds)
        try:
            data: Any = json.loads(body)["data"]
            if data["resultType"] != "streams":
                raise Invalid(f"{_NAME}: the query gives a {data['resultType']}, not log lines: {logql}")
            # Streams come one after the other, each sorted: the merged lines have to be sorted by us.
            rows = [
                (int(at), dict(stream["stream"]), str(text))
                for stream in data["result"] or ()
                for at, text, *_structured_metadata in stream["values"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise BadResponse(f"{_NAME}: the answer is not what its API promises ({error!r}).") from error
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        return [
            LogLine(time=_EPOCH + timedelta(microseconds=at // 1000), labels=labels, text=text)
            for at, labels, text in rows
        ]


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
