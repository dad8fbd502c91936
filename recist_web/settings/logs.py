"""Logs: structlog renders ours and everybody else's records alike, as JSON lines or for a terminal."""

from typing import Any

import structlog

from recist_web import log_secrets
from recist_web.settings.base import _ENV

log_secrets.know(_ENV)

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# Local variables stay out of tracebacks: they hold pages of manifests, and secrets.
_RENDERER: list[Any] = (
    [
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        log_secrets.mask,
        structlog.processors.JSONRenderer(),
    ]
    if _ENV.LOG_FORMAT == "json"
    else [
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        log_secrets.mask_line,
    ]
)
_LEVEL = _ENV.LOG_LEVEL.upper()

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_RENDERER],
            "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": _LEVEL},
    "loggers": {
        # Django's own handlers would print every record twice.
        "django": {"handlers": [], "level": _LEVEL, "propagate": True},
        "django.server": {"handlers": [], "level": _LEVEL, "propagate": True},
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.error": {"handlers": [], "propagate": True},
        # Chatty below warnings, and their debug records hold whole responses.
        "django.template": {"level": "INFO"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "kubernetes": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        # The audit trail tells of sign-ins.
        "axes": {"level": "WARNING"},
        # Beat reports each tick of the sweeper, once a second.
        "celery.beat": {"level": "WARNING" if _LEVEL == "INFO" else _LEVEL},
        "celery.app.trace": {"level": "WARNING" if _LEVEL == "INFO" else _LEVEL},
        "celery.worker.strategy": {"level": "WARNING" if _LEVEL == "INFO" else _LEVEL},
    },
}

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
