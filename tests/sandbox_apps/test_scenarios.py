"""Scenario files: the documented format loads and runs, a broken file is refused with line and reason."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import yaml

from healing.sandbox.compose import build
from healing.sandbox.faults import FaultInjector
from healing.sandbox.faults.table import fault_table
from healing.sandbox.scenarios import BUNDLED, ScenarioError, load_scenario
from healing.sandbox.signals.health import health
from healing.sandbox.virtual_time import run_virtual
from tests.sandbox_apps.bench import EPOCH

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"
HEAD = "apiVersion: sandbox.recist.io/v1\nkind: Scenario\nmetadata: {name: x}\n"


def all_bundled() -> list[Path]:
    return [path for path in sorted(BUNDLED.glob("*.yaml")) if path.name != "schema.yaml"]


@pytest.mark.parametrize("path", all_bundled(), ids=lambda path: path.stem)
def test_bundled_scenarios_load(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.manifests


def test_without_faults_the_timeline_is_left_out() -> None:
    assert len(load_scenario(BUNDLED / "demo.yaml").timeline) >= 9
    assert load_scenario(BUNDLED / "demo.yaml", faults=False).timeline == []


def test_the_demo_names_causes_of_the_catalogue() -> None:
    from healing.diagnosis.catalogue import CAUSES

    for expectation in load_scenario(BUNDLED / "demo.yaml").expectations:
        assert set(expectation.causes) <= set(CAUSES), expectation.causes


def test_the_documented_example_runs(tmp_path: Path) -> None:
    """Written from docs/scenarios.md alone: healthy, then broken by its fault, then healthy when that is removed."""
    example = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]
    path = tmp_path / "web-typo.yaml"
    path.write_text(example)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sandbox = build(load_scenario(path), clock=lambda: EPOCH + loop.time())
        task = asyncio.create_task(sandbox.run())
        runner = sandbox.runner
        assert runner is not None
        while runner.started_at is None:
            await asyncio.sleep(0.5)
            assert loop.time() < 90
        await asyncio.sleep(10)
        assert health(sandbox.cluster, sandbox.runtime)["well"]
        await asyncio.sleep(15)
        [(step, at, problem)] = runner.played
        assert (step.id, problem) == ("typo", "")
        assert at - runner.started_at == pytest.approx(20, abs=0.5)
        state = health(sandbox.cluster, sandbox.runtime)
        assert [w["name"] for w in state["workloads"] if not w["well"]] == ["web"]
        assert state["users"][0]["successRate"] == 1.0  # the old pods serve
        assert sandbox.injector.remove("typo")
        await asyncio.sleep(10)
        assert health(sandbox.cluster, sandbox.runtime)["well"]
        task.cancel()

    run_virtual(main())


def test_the_documented_catalogue_loads(tmp_path: Path) -> None:
    section = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + section)
    assert "billing" in load_scenario(path).catalogue["programs"]


def test_every_fault_and_parameter_is_documented() -> None:
    table = DOCS.read_text().split("<!-- faults -->\n")[1].split("<!-- /faults -->")[0]
    assert table == fault_table(), "write it with: python -m healing.sandbox.faults.table docs/scenarios.md"
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    available = {entry["name"]: entry for entry in FaultInjector.available()}
    assert set(rows) == set(available)
    for name, entry in available.items():
        assert all(f"`{parameter['name']}`" in rows[name] for parameter in entry["params"]), name


def test_every_field_is_documented() -> None:
    schema = yaml.safe_load((BUNDLED / "schema.yaml").read_text())
    text = DOCS.read_text()
    for name in (
        *schema["properties"],
        *schema["$defs"]["step"]["properties"],
        *schema["$defs"]["expectation"]["properties"],
    ):
        assert re.search(rf"`{name}\b", text), name


BROKEN = [
    ("metadata: {name: x\n", ":2: expected ',' or '}'"),
    ("apiVersion: v2\nkind: Scenario\nmetadata: {name: x}\n", ":1: apiVersion: 'sandbox.recist.io/v1' was expected"),
    (HEAD + "nodes: 0\n", ":4: nodes: "),
    (HEAD + "color: red\n", "Additional properties are not allowed ('color' was unexpected)"),
    (HEAD + "seed: 1\nseed: 2\n", ":5: the key 'seed' is there twice"),
    (HEAD + "timeline:\n  - at: 5s\n", ":5: timeline.0: a step needs exactly one of fault, remove"),
    (HEAD + "timeline:\n  - at: soon\n    fault: bad-image\n", ":5: timeline.0.at: 'soon' does not match"),
    (HEAD + "timeline:\n  - at: 5s\n    fault: meteor\n", ":6: no fault named 'meteor'"),
    (
        HEAD + "timeline:\n  - at: 5s\n    fault: bad-image\n    params: {namespace: a}\n",
        ":7: fault bad-image needs the parameter 'workload'",
    ),
    (HEAD + "timeline:\n  - at: 5s\n    remove: a\n", ":6: remove: no step before this one has the id 'a'"),
    (HEAD + "expectations:\n  - after: a\n    causes: [B]\n", ":5: no step has the id 'a'"),
    (HEAD + "expectations:\n  - after: a\n", "an expectation needs either `after` and `causes`, or `healthy: true`"),
    (HEAD + "include: [nowhere.yaml]\n", ":4: nowhere.yaml: cannot be read"),
    (HEAD + "manifests:\n  - kind: Pod\n", ":5: manifests.0: 'apiVersion' is a required property"),
    (HEAD + "catalogue:\n  programs: {a: {latency: 1}}\n", ":4: catalogue.programs.a.latency: unknown field"),
    (HEAD + "extends: x.yaml\n", "files deep"),
    ("- a\n", ":1: a scenario file holds one mapping"),
    ("", ":1: a scenario file holds one mapping"),
]


@pytest.mark.parametrize(("text", "reason"), BROKEN, ids=[reason[:30] for _, reason in BROKEN])
def test_broken_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert any(reason in problem and problem.startswith(str(path)) for problem in caught.value.problems), str(
        caught.value
    )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + "nodes: 0\ntimeline:\n  - at: never\n    fault: bad-image\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert len(caught.value.problems) == 2


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "none.yaml")
