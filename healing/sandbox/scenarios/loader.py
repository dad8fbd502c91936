"""Reads scenario files and says, with file and line, what is wrong with them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from healing.sandbox.apps.images import Catalogue
from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.apps.program import DefinitionError
from healing.sandbox.faults import FaultError, FaultInjector
from healing.sandbox.scenarios import located
from healing.sandbox.scenarios.located import Located
from healing.sandbox.scenarios.model import Expectation, History, Scenario, ScenarioError, Step
from healing.sandbox.world import NodeSpec

#: the scenarios that come with the product
BUNDLED = Path(__file__).parent
_ACTIONS = ("fault", "remove", "apply", "patch", "delete")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_EXTENDS = 5


@cache
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((BUNDLED / "schema.yaml").read_text(encoding="utf-8"))
    return loaded


def parse_duration(text: str) -> float:
    """``1m30s`` in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def load_scenario(path: Path | str, *, faults: bool = True) -> Scenario:
    """Read and check a scenario. ``faults=False`` leaves its timeline out, and what is expected after it.

    Raises `ScenarioError` with every problem found.
    """
    scenario = _Reader().read(Path(path), 0)
    if not faults:
        scenario.timeline, scenario.expectations = [], [e for e in scenario.expectations if e.healthy]
    return scenario


class _Reader:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, path: Path, depth: int) -> Scenario:
        document = self._document(path)
        self._check_schema(document)
        data = document.data
        if data.get("extends"):
            if depth >= _MAX_EXTENDS:
                raise ScenarioError([f"{document.where(('extends',))}: more than {_MAX_EXTENDS} files deep"])
            scenario = self.read(path.parent / data["extends"], depth + 1)
            scenario.expectations = [e for e in scenario.expectations if not e.healthy or not data.get("timeline")]
        else:
            scenario = Scenario(data["metadata"]["name"], path)
        self._fill(scenario, document)
        self._check_meaning(scenario, document)
        if self.problems:
            raise ScenarioError(self.problems)
        return scenario

    def _document(self, path: Path) -> Located:
        try:
            documents = located.read(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError([f"{path}: cannot be read: {error}"]) from error
        except ValueError as error:
            raise ScenarioError([str(error)]) from error
        if len(documents) != 1 or not isinstance(documents[0].data, dict):
            raise ScenarioError([f"{path}:1: a scenario file holds one mapping, this one {len(documents)} documents"])
        return documents[0]

    def _check_schema(self, document: Located) -> None:
        problems = []
        for error in Draft202012Validator(schema()).iter_errors(document.data):
            detail = best_match([error]) or error
            path = tuple(detail.absolute_path)
            problems.append(f"{document.where(path)}: {_say(detail, path)}")
        if problems:
            raise ScenarioError(sorted(set(problems)))

    def _problem(self, document: Located, path: tuple[str | int, ...], reason: str) -> None:
        self.problems.append(f"{document.where(path)}: {reason}")

    def _fill(self, scenario: Scenario, document: Located) -> None:
        data = document.data
        meta = data["metadata"]
        scenario.name, scenario.path = meta["name"], document.file
        scenario.title = meta.get("title", scenario.title)
        scenario.description = meta.get("description", scenario.description)
        scenario.tags = tuple(meta.get("tags", scenario.tags))
        scenario.seed = data.get("seed", scenario.seed)
        if "nodes" in data:
            nodes = data["nodes"]
            scenario.nodes = nodes if isinstance(nodes, int) else [NodeSpec(**node) for node in nodes]
        for index, name in enumerate(data.get("include", [])):
            self._include(scenario, document, index, name)
        scenario.manifests += data.get("manifests", [])
        for section, entries in data.get("catalogue", {}).items():
            scenario.catalogue.setdefault(section, {}).update(entries)
        scenario.history += [_history(entry) for entry in data.get("history", [])]
        scenario.traffic += [
            TrafficSource(
                entry["namespace"], entry["service"], entry["port"], float(entry["requestsPerSecond"]),
                wave=float(entry.get("wave", 0.0)), period_seconds=float(entry.get("periodSeconds", 120.0)),
                noise=float(entry.get("noise", 0.05)), timeout_seconds=float(entry.get("timeoutSeconds", 10.0)),
            )
            for entry in data.get("traffic", [])
        ]  # fmt: skip
        scenario.timeline += [_step(index, entry) for index, entry in enumerate(data.get("timeline", []))]
        scenario.expectations += [_expectation(entry) for entry in data.get("expectations", [])]

    def _include(self, scenario: Scenario, document: Located, index: int, name: str) -> None:
        try:
            found = located.read(document.file.parent / name)
        except (OSError, UnicodeDecodeError) as error:
            self._problem(document, ("include", index), f"{name}: cannot be read: {error}")
            return
        except ValueError as error:
            self.problems.append(str(error))
            return
        for manifest in found:
            data = manifest.data
            items = data.get("items") if isinstance(data, dict) and data.get("kind") == "List" else [data]
            for item in items or []:
                if not isinstance(item, dict) or not item.get("apiVersion") or not item.get("kind"):
                    self._problem(manifest, (), "not a Kubernetes object: apiVersion or kind is missing")
                elif not (item.get("metadata") or {}).get("name"):
                    self._problem(manifest, ("metadata",), f"{item['kind']} without metadata.name")
                else:
                    scenario.manifests.append(item)

    def _check_meaning(self, scenario: Scenario, document: Located) -> None:
        """What a schema cannot say."""
        data = document.data
        if "catalogue" in data:
            try:
                Catalogue.bundled().extend(scenario.catalogue, "catalogue")
            except DefinitionError as error:
                self._problem(document, ("catalogue",), str(error))
        ids: set[str] = set()
        inherited = len(scenario.timeline) - len(data.get("timeline", []))
        for number, step in enumerate(scenario.timeline):
            path = ("timeline", number - inherited)
            if step.id in ids and step.action != "remove":
                self._problem(document, path, f"the id {step.id!r} is used twice")
            if step.action == "remove" and step.body not in ids:
                self._problem(document, path, f"remove: no step before this one has the id {step.body!r}")
            if step.action == "fault":
                try:
                    FaultInjector.check(step.body, step.params)
                except FaultError as error:
                    self._problem(document, (*path, "params" if step.params else "fault"), str(error))
            elif step.params:
                self._problem(document, (*path, "params"), "params belong to a fault")
            ids.add(step.id)
        for number, expectation in enumerate(data.get("expectations", [])):
            if expectation.get("after") and expectation["after"] not in ids:
                self._problem(
                    document, ("expectations", number, "after"), f"no step has the id {expectation['after']!r}"
                )


def _say(error: ValidationError, path: tuple[str | int, ...]) -> str:
    shown = ".".join(str(part) for part in path) or "the file"
    if error.validator == "oneOf" and path[:1] == ("timeline",):
        return f"{shown}: a step needs exactly one of {', '.join(_ACTIONS)}"
    if error.validator == "oneOf" and path[:1] == ("expectations",):
        return f"{shown}: an expectation needs either `after` and `causes`, or `healthy: true`"
    message = error.message if len(error.message) < 200 else error.message[:200] + " ..."
    return f"{shown}: {message}"


def _step(index: int, entry: dict[str, Any]) -> Step:
    action = next(name for name in _ACTIONS if name in entry)
    default_id = f"{entry[action]}-{index + 1}" if action == "fault" else f"step-{index + 1}"
    return Step(
        parse_duration(entry["at"]),
        action,  # type: ignore[arg-type]
        entry.get("id", default_id),
        entry[action],
        entry.get("params", {}),
        entry.get("user", "dev@example.com"),
    )


def _history(entry: dict[str, Any]) -> History:
    namespace, _, name = entry["deployment"].partition("/")
    return History(namespace, name, entry["container"], entry.get("image", ""), entry.get("env", {}))


def _expectation(entry: dict[str, Any]) -> Expectation:
    well = entry.get("well", {})
    return Expectation(
        after=entry.get("after", ""),
        healthy=entry.get("healthy", False),
        causes=tuple(entry.get("causes", ())),
        object=entry.get("object", {}),
        detected_seconds=parse_duration(entry.get("detected", "60s")),
        fixes=tuple(entry.get("fixes", ())),
        forbidden=tuple(entry.get("forbidden", ())),
        well_services=tuple(well.get("services", ())),
        well_workloads=tuple(well.get("workloads", ())),
        well_seconds=parse_duration(well.get("within", "60s")),
    )
