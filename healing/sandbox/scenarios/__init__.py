"""Scenarios: worlds, what goes wrong in them when, and what a good healer would do. Format: docs/scenarios.md."""

from healing.sandbox.scenarios.loader import BUNDLED, EVALUATION, bundled, load_scenario
from healing.sandbox.scenarios.model import Expectation, Scenario, ScenarioError, Step, Vocabulary
from healing.sandbox.scenarios.runner import ScenarioRunner

__all__ = [
    "BUNDLED",
    "EVALUATION",
    "Expectation",
    "Scenario",
    "ScenarioError",
    "ScenarioRunner",
    "Step",
    "Vocabulary",
    "bundled",
    "load_scenario",
]
