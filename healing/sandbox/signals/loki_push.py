"""Loki's push API, for JSON: what a log shipper of one's own may send to the sandbox."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import PlainTextResponse, Response

from healing.sandbox.signals.logstore import LogStore

_OLDEST_SECONDS = 7 * 24 * 3600
_SERVICE_LABELS = ("service", "app", "application", "name", "app_kubernetes_io_name", "container", "container_name")


def push(store: LogStore, body: bytes, content_type: str, now: float) -> Response:
    """204, or 400 in plain text; entries of a good request are all taken."""
    if not content_type.startswith("application/json"):
        return _refuse("snappy: corrupt input")
    try:
        streams = json.loads(body)["streams"]
        entries = [entry for stream in streams for entry in _entries(stream)]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return _refuse(f"loghttp.PushRequest.Streams: []loghttp.LogProtoStream: {error}")
    for labels, time_ns, _, _ in entries:
        if time_ns < (now - _OLDEST_SECONDS) * 1e9:
            shown = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            return _refuse(f"entry for stream '{{{shown}}}' has timestamp too old: {time_ns}")
    for labels, time_ns, text, metadata in entries:
        store.push(labels, time_ns, text, metadata)
    return Response(status_code=204)


def _entries(stream: Any) -> list[tuple[dict[str, str], int, str, tuple[tuple[str, str], ...]]]:
    labels = {str(name): str(value) for name, value in stream["stream"].items()}
    service = next((labels[name] for name in _SERVICE_LABELS if labels.get(name)), "unknown_service")
    labels.setdefault("service_name", service)
    return [
        (labels, int(at), str(text), tuple(sorted((str(k), str(v)) for many in more for k, v in many.items())))
        for at, text, *more in stream["values"]
    ]


def _refuse(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status_code=400)
