"""OpenTelemetry traces: from a request or a round of beat through Celery to phases and the calls they make.

Only where OTEL_EXPORTER_OTLP_ENDPOINT is set; otherwise nothing of OpenTelemetry is even imported. Spans are sent by a
thread of their own from a bounded queue: a collector that hangs or is away costs spans, never time of a healing.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import Any

import structlog
from django.conf import settings

from healing import telemetry

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 3
_QUEUE = 4096
_SAY_AGAIN_SECONDS = 600.0
_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
#: What the log is bound to, and its name on a span.
_ATTRIBUTES = {
    "event_name": "recist.event",
    "cluster": "recist.cluster",
    "run_id": "recist.run_id",
    "phase": "recist.phase",
    "request_id": "recist.request_id",
}
_installed = threading.Lock()
_provider: Any = None


def install(service: str) -> None:
    """Once in a process, before Django builds its middleware. ``service``: web, worker, beat or watcher."""
    global _provider  # noqa: PLW0603 - one a process
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT
    if not endpoint or not _installed.acquire(blocking=False):
        return
    try:
        _provider = _provide(endpoint, service)
        _instrument(service, _provider)
    except Exception:  # whatever is wrong with it: work goes on untraced
        log.exception("no traces")


class _Seldom(logging.Filter):
    """The libraries say it every second while a collector is away."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() - self._said_at < _SAY_AGAIN_SECONDS:
            return False
        self._said_at = time.monotonic()
        return True


def _provide(endpoint: str, service: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from recist_web.version import version  # noqa: PLC0415

    resource = Resource.create({"service.name": f"recist-{service}", "service.version": version()})
    # We end it ourselves: the library would wait for a collector that hangs.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(_about())
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=1000))
    telemetry.use_tracer(provider.get_tracer("recist"))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_Seldom())
    atexit.register(_end)
    return provider


def _about() -> Any:
    """A processor that writes on each span what the log's lines say: which event, cluster and request."""
    from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415

    class About(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            bound = structlog.contextvars.get_contextvars()
            for name, attribute in _ATTRIBUTES.items():
                if name in bound:
                    span.set_attribute(attribute, str(bound[name]))

    return About()


def _instrument(service: str, provider: Any) -> None:
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415

    CeleryInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]  # its constructor
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    if service == "web":
        from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415

        # Probes and scrapes come every few seconds and tell nothing.
        DjangoInstrumentor().instrument(tracer_provider=provider, excluded_urls="livez,readyz,metrics,static/.*")


def _end() -> None:
    """Send what is left, for a moment."""
    provider = _provider
    if provider is None:
        return
    thread = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
    thread.start()
    thread.join(_TIMEOUT_SECONDS)


def uninstall() -> None:
    """For tests: as if it had never been installed."""
    global _provider  # noqa: PLW0603 - see above
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415

    celery = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # its constructor
    for instrumentor in (celery, DjangoInstrumentor(), HTTPXClientInstrumentor()):
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
    telemetry.use_tracer(None)
    _end()
    _provider = None
    if _installed.locked():
        _installed.release()
