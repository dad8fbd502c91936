"""PromQL over `healing.sandbox.signals.tsdb.Store`: instant and range queries, in Prometheus 2's semantics."""

from healing.sandbox.signals.promql.engine import Engine, RangeResult
from healing.sandbox.signals.promql.values import BadQuery, EvaluationFailed, format_value

__all__ = ["BadQuery", "Engine", "EvaluationFailed", "RangeResult", "format_value"]
