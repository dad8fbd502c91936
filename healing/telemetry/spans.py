"""Spans of traces, where there is a tracer: the wiring hands one over when OTEL_EXPORTER_OTLP_ENDPOINT is set."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: opentelemetry.trace.Tracer; kept untyped so that nothing of it is imported where nobody traces
_tracer: Any = None


def use_tracer(tracer: Any) -> None:
    """From now on `span` makes spans of this tracer; None: no more."""
    global _tracer  # noqa: PLW0603 - one a process, set once when it starts
    _tracer = tracer


@contextmanager
def span(name: str, **attributes: str | float | bool) -> Iterator[None]:
    """A span around the block, below the one that is current; an exception is recorded and goes on."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def with_context(function: Callable[P, T]) -> Callable[P, T]:
    """For threads: the function runs with what is bound here (the log's event and cluster, the current span).

    Each call gets a copy of its own, so one function may run in several threads at once."""
    here = contextvars.copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return here.copy().run(function, *args, **kwargs)

    return call
