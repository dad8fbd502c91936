"""LogQL: selectors, filters, parsers, formatting, labels; metric queries over lines and over unwrapped values."""

from healing.sandbox.signals.logql.errors import LogQLError
from healing.sandbox.signals.logql.nodes import LogQuery, MetricNode
from healing.sandbox.signals.logql.parse import parse_logql
from healing.sandbox.signals.logql.stages import run_stages
from healing.sandbox.signals.logql.tokens import duration_seconds

__all__ = ["LogQLError", "LogQuery", "MetricNode", "duration_seconds", "parse_logql", "run_stages"]
