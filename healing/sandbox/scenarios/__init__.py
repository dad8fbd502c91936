"""Scenarios: worlds, what goes wrong in them when, and what a good healer would do. Format: docs/scenarios.md."""

from healing.sandbox.scenarios.loader import BUNDLED, load_scenario
from healing.sandbox.scenarios.model import Expectation, Scenario, ScenarioError, Step
from healing.sandbox.scenarios.runner import ScenarioRunner

__all__ = ["BUNDLED", "Expectation", "Scenario", "ScenarioError", "ScenarioRunner", "Step", "load_scenario"]
