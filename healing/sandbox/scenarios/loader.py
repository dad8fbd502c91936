"""Reads scenario files and says, with file and line, what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from healing.sandbox.scenarios import located, parts
from healing.sandbox.scenarios.located import Located
from healing.sandbox.scenarios.meaning import Checks
from healing.sandbox.scenarios.model import Scenario, ScenarioError, Vocabulary

#: the scenarios that come with the product; those of the evaluation are a directory further in
BUNDLED = Path(__file__).parent
EVALUATION = BUNDLED / "evaluation"
_MAX_EXTENDS = 5


@cache
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((BUNDLED / "schema.yaml").read_text(encoding="utf-8"))
    return loaded


def bundled(name: str) -> Path | None:
    """The file of the bundled scenario called ``name``."""
    places = (directory / f"{name}.yaml" for directory in (BUNDLED, EVALUATION))
    return next((path for path in places if path.name != "schema.yaml" and path.is_file()), None)


def load_scenario(path: Path | str, *, faults: bool = True, vocabulary: Vocabulary | None = None) -> Scenario:
    """Read and check a scenario. ``faults=False`` leaves its timeline out, and what is expected after it.

    Raises `ScenarioError` with every problem found.
    """
    scenario = _Reader(vocabulary or Vocabulary()).read(Path(path), 0)
    if not faults:
        scenario.timeline, scenario.expectations = [], [e for e in scenario.expectations if e.healthy]
    return scenario


class _Reader:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._problems: list[str] = []

    def read(self, path: Path, depth: int) -> Scenario:
        document = self._document(path)
        self._check_schema(document)
        data = document.data
        if data.get("extends"):
            if depth >= _MAX_EXTENDS:
                raise ScenarioError([f"{document.where(('extends',))}: more than {_MAX_EXTENDS} files deep"])
            base = path.parent / data["extends"]
            if not base.is_file():
                raise ScenarioError([f"{document.where(('extends',))}: {data['extends']}: no such file"])
            scenario = self.read(base, depth + 1)
            if data.get("timeline") or data.get("expectations"):
                scenario.expectations = [e for e in scenario.expectations if not e.healthy]
        else:
            scenario = Scenario(data["metadata"]["name"], path)
        self._fill(scenario, document)
        self._problems += Checks(scenario, document, self._vocabulary).problems()
        if self._problems:
            raise ScenarioError(sorted(set(self._problems), key=_place))
        return scenario

    def _document(self, path: Path) -> Located:
        try:
            documents = located.read(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError([f"{path}:1: cannot be read: {error}"]) from error
        except ValueError as error:
            raise ScenarioError([str(error)]) from error
        if len(documents) != 1 or not isinstance(documents[0].data, dict):
            raise ScenarioError([f"{path}:1: a scenario file holds one mapping, this one {_held(documents)}"])
        return documents[0]

    def _check_schema(self, document: Located) -> None:
        problems: set[str] = set()
        for error in Draft202012Validator(schema()).iter_errors(document.data):
            detail = best_match([error]) or error
            path = tuple(detail.absolute_path)
            problems.add(f"{_where(document, detail, path)}: {_say(detail, path)}")
        if problems:
            raise ScenarioError(sorted(problems, key=_place))

    def _fill(self, scenario: Scenario, document: Located) -> None:
        data = document.data
        meta = data["metadata"]
        scenario.name, scenario.path = meta["name"], document.file
        scenario.title = meta.get("title", scenario.title)
        scenario.description = meta.get("description", scenario.description)
        scenario.tags = tuple(meta.get("tags", scenario.tags))
        scenario.seed = data.get("seed", scenario.seed)
        scenario.scrape_seconds = data.get("scrapeSeconds", scenario.scrape_seconds)
        if "nodes" in data:
            nodes = data["nodes"]
            scenario.nodes = nodes if isinstance(nodes, int) else [parts.node(entry) for entry in nodes]
        for index, name in enumerate(data.get("include", [])):
            self._include(scenario, document, index, name)
        scenario.manifests += data.get("manifests", [])
        for section, entries in data.get("catalogue", {}).items():
            scenario.catalogue.setdefault(section, {}).update(entries)
        scenario.history += [parts.history(entry) for entry in data.get("history", [])]
        scenario.traffic += [parts.traffic(entry) for entry in data.get("traffic", [])]
        scenario.gitops += [parts.gitops_owner(entry) for entry in data.get("gitops", [])]
        scenario.policies += data.get("policies", [])
        scenario.timeline += [parts.step(index, entry) for index, entry in enumerate(data.get("timeline", []))]
        scenario.expectations += [parts.expectation(entry) for entry in data.get("expectations", [])]

    def _include(self, scenario: Scenario, document: Located, index: int, name: str) -> None:
        try:
            found = located.read(document.file.parent / name)
        except (OSError, UnicodeDecodeError) as error:
            self._problems.append(f"{document.where(('include', index))}: {name}: cannot be read: {error}")
            return
        except ValueError as error:
            self._problems.append(str(error))
            return
        for manifest in found:
            data = manifest.data
            items = data.get("items") if isinstance(data, dict) and data.get("kind") == "List" else [data]
            for item in items or []:
                if not isinstance(item, dict) or not item.get("apiVersion") or not item.get("kind"):
                    self._problems.append(
                        f"{manifest.where(())}: not a Kubernetes object: apiVersion or kind is missing"
                    )
                elif not (item.get("metadata") or {}).get("name"):
                    self._problems.append(f"{manifest.where(('metadata',))}: {item['kind']} without metadata.name")
                else:
                    scenario.manifests.append(item)


def _held(documents: list[Located]) -> str:
    if len(documents) == 1:
        return f"a {type(documents[0].data).__name__}"
    return f"{len(documents)} documents" if documents else "nothing"


def _place(problem: str) -> tuple[str, int, str]:
    """Sorts ``file:line: reason`` by file and line."""
    file, _, rest = problem.partition(":")
    line, _, reason = rest.partition(":")
    return file, int(line) if line.isdigit() else 0, reason


def _where(document: Located, error: ValidationError, path: tuple[str | int, ...]) -> str:
    """The line of the field that is too much, where there is one; of the mapping around it otherwise."""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        for name in error.instance:
            if name not in known:
                return document.where((*path, str(name)))
    return document.where(path)


def _say(error: ValidationError, path: tuple[str | int, ...]) -> str:
    shown = ".".join(str(part) for part in path) or "the file"
    is_step = path[:1] == ("timeline",) or "remedy" in path
    if error.validator == "oneOf" and is_step:
        return f"{shown}: a step needs exactly one of {', '.join(parts.ACTIONS)}"
    if error.validator == "oneOf" and path[:1] == ("expectations",):
        return f"{shown}: an expectation needs either `after` and `causes`, or `healthy: true`"
    message = error.message if len(error.message) < 200 else error.message[:200] + " ..."
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        message += f"; there are {_listed(error.schema.get('properties', {}))}"
    return f"{shown}: {message}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
