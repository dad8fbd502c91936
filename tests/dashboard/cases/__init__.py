"""What the scripted phases of the dashboard's tests say: three faults with realistic diagnoses and plans."""

from __future__ import annotations

from tests.dashboard.cases.dependency import slow_dependency
from tests.dashboard.cases.memory import memory_limit
from tests.dashboard.cases.parts import Case, Option
from tests.dashboard.cases.rollout import CRASH_LOG, bad_rollout

__all__ = ["CRASH_LOG", "Case", "Option", "bad_rollout", "memory_limit", "slow_dependency"]
