"""Phase 3, proliferation: candidates, micro-agents that argue for them, a decision, its execution, its verification."""

from healing.metacognition.execution import execute
from healing.metacognition.planning import plan
from healing.metacognition.verifying import verify

__all__ = ["execute", "plan", "verify"]
