"""The scenarios tell the truth: well before, unwell after the fault, well again by what a person would do.

In virtual time and without the healer, so that what a healer is measured against holds by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from healing.diagnosis.catalogue import CAUSES
from healing.sandbox.scenarios import BUNDLED, load_scenario
from healing.sandbox.scenarios.model import Expectation, Scenario
from healing.sandbox.virtual_time import run_virtual
from tests.scenarios.stage import Stage, on_stage

EVALUATION = sorted((BUNDLED / "evaluation").glob("*.yaml"))
#: between two looks at the world
_STEP_SECONDS = 1.0
#: how long a healed world has to stay well
_STEADY_SECONDS = 12.0
#: a fault that comes and goes has shown itself once in so long
_RECENT_SECONDS = 40.0
_AFTERWARDS_SECONDS = 20.0
#: what users bear in a healthy world: calls that were on their way to a container that ends
_BLIP_SECONDS = 3.0


@pytest.mark.parametrize("path", EVALUATION, ids=lambda path: path.stem)
def test_a_scenario_is_true(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.description, "say what happened"
    assert scenario.expectations, "say what is expected"
    faults = [e for e in scenario.expectations if not e.healthy]
    unknown = {cause for e in faults for cause in e.causes} - set(CAUSES)
    assert not unknown, f"not in docs/causes.md: {unknown}"
    assert len(faults) in (0, len(scenario.expectations)), "a healthy scenario has no faults"
    run_virtual(_faulty(scenario, faults) if faults else _healthy(scenario))


async def _faulty(scenario: Scenario, expectations: list[Expectation]) -> None:
    async with on_stage(scenario) as stage:
        starts = {e.after: stage.step(e.after).at_seconds for e in expectations}
        await _stays_well(stage, min(starts.values()))
        for expectation in sorted(expectations, key=lambda e: starts[e.after]):
            await stage.until_second(starts[expectation.after] + 0.5)
            await _shows(stage, expectation, starts[expectation.after])
        await _stays_unwell(stage, expectations)
        if not all(e.must_not_act for e in expectations):
            await _heals(stage, expectations)
        assert not stage.problems(), "a step could not be taken"


async def _stays_well(stage: Stage, until_second: float) -> None:
    """Everything, from when the first traffic has arrived to just before the first fault.

    Once people work on it (a good rollout goes before the fault) only the Services count.
    """
    touched_at = min(step.at_seconds for step in stage.runner.scenario.timeline)
    await stage.until_second(min(4.0, until_second - 2))
    while stage.second() < until_second - 1:
        unwell = stage.unwell() if stage.second() < touched_at else stage.unwell_services()
        assert not unwell, f"not well at second {stage.second():.0f}, before anything happened"
        await stage.sleep(_STEP_SECONDS)


async def _shows(stage: Stage, expectation: Expectation, at_second: float) -> None:
    deadline = at_second + expectation.detected_seconds
    while not stage.trouble(expectation, since_second=at_second):
        assert stage.second() < deadline, f"nothing to see of {expectation.after} in {expectation.detected_seconds} s"
        await stage.sleep(_STEP_SECONDS)


async def _stays_unwell(stage: Stage, expectations: list[Expectation]) -> None:
    """Nobody does anything for most of a minute: the harm does not pass by itself."""
    patience = min(max(e.well_seconds for e in expectations), _RECENT_SECONDS + 5.0)
    end = stage.second() + patience
    await stage.until_second(end - min(_RECENT_SECONDS, patience))
    recent = stage.second()
    seen: set[str] = set()
    while stage.second() < end:
        unseen = [e for e in expectations if e.after not in seen]
        seen |= {e.after for e in unseen if stage.trouble(e, since_second=recent)}
        await stage.sleep(_STEP_SECONDS)
    assert seen == {e.after for e in expectations}, "went away by itself"


async def _heals(stage: Stage, expectations: list[Expectation]) -> None:
    assert all(e.remedy for e in expectations if not e.must_not_act), "say what a knowledgeable person would do"
    started = stage.second()
    for expectation in expectations:
        await stage.take(expectation.remedy)
    patience = max(e.well_seconds for e in expectations)
    well_since: float | None = None
    while well_since is None or stage.second() - well_since < _STEADY_SECONDS:
        unwell = stage.unwell_targets([e for e in expectations if not e.must_not_act])
        if unwell:
            well_since = None
            assert stage.second() - started < patience, f"not well {patience:.0f} s after the remedy: {unwell}"
        elif well_since is None:
            well_since = stage.second()
        await stage.sleep(_STEP_SECONDS)


async def _healthy(scenario: Scenario) -> None:
    """Users are served all along, and at the end everything is as it should be."""
    async with on_stage(scenario) as stage:
        await stage.until_second(4.0)
        end = max([0.0, *(step.at_seconds for step in scenario.timeline)]) + _AFTERWARDS_SECONDS
        suffering_seconds = 0.0
        while stage.second() < max(end, 40.0):
            suffering_seconds = suffering_seconds + _STEP_SECONDS if stage.unhappy_users() else 0.0
            assert suffering_seconds <= _BLIP_SECONDS, f"users suffer at second {stage.second():.0f}"
            await stage.sleep(_STEP_SECONDS)
        deadline = stage.second() + 90.0
        while stage.unwell_workloads():
            assert not stage.unhappy_users()
            assert stage.second() < deadline, f"does not come to rest: {stage.unwell_workloads()}"
            await stage.sleep(_STEP_SECONDS)
        assert not stage.problems(), "a step could not be taken"
