"""Which scenarios a run is about: found, read, checked with the product's words, and dealt to the two splits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from healing.diagnosis.catalogue import CAUSES
from healing.policies.spec import ActionName, PolicySpec
from healing.sandbox.ports import Object
from healing.sandbox.scenarios import EVALUATION, Scenario, ScenarioError, Vocabulary, load_scenario
from recist_web.evaluation.split import DEFAULT_SEED, Split, assign

_SUFFIXES = (".yaml", ".yml")


class SelectionError(Exception):
    """Nothing can be run. ``problems``: a line each, ``file:line: reason`` where a file is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A scenario of this run. ``family``: of its first expected cause, or ``healthy`` or ``mustNotAct``."""

    scenario: Scenario
    family: str
    split: Split

    @property
    def name(self) -> str:
        return self.scenario.name


def vocabulary() -> Vocabulary:
    """The product's words, for checking scenarios."""
    return Vocabulary(frozenset(CAUSES), frozenset(str(action) for action in ActionName), _check_policy)


def select(
    places: Sequence[Path],
    *,
    only: Iterable[str] = (),
    split: Literal["dev", "sealed", "all"] = "all",
    seed: int = DEFAULT_SEED,
) -> list[Chosen]:
    """Scenarios of the files and directories (the bundled ones without any), by name.

    ``only``: their names. The split is that of all scenarios found, whichever of them are run. `SelectionError` with
    all problems of those that would be run.
    """
    wanted = set(only)
    loaded, problems = _load(_files(places or [EVALUATION]), wanted)
    if (missing := sorted(wanted - {scenario.name for scenario in loaded})) and not problems:
        problems += [_no_such(name, [s.name for s in loaded]) for name in missing]
    if problems:
        raise SelectionError(problems)
    families = {scenario.name: family_of(scenario) for scenario in loaded}
    sides = assign(families, seed)
    chosen = [Chosen(scenario, families[scenario.name], sides[scenario.name]) for scenario in loaded]
    return [c for c in chosen if (not wanted or c.name in wanted) and split in ("all", c.split)]


def family_of(scenario: Scenario) -> str:
    """What kind of scenario it is: the split is made within each kind."""
    if scenario.healthy:
        return "healthy"
    first = scenario.expectations[0]
    if first.must_not_act:
        return "mustNotAct"
    cause = CAUSES.get(first.causes[0])
    return cause.family if cause is not None else "unknown"


def _files(places: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            found = sorted(p for p in place.iterdir() if p.suffix in _SUFFIXES and p.is_file())
            if not found:
                raise SelectionError([f"{place}: there are no scenario files (*.yaml) in this directory"])
            files += found
        elif place.exists():
            files.append(place)
        else:
            raise SelectionError([f"{place}: there is no such file or directory"])
    return list(dict.fromkeys(path.absolute() for path in files))


def _load(files: Sequence[Path], wanted: set[str]) -> tuple[list[Scenario], list[str]]:
    """With ``wanted``, what is wrong with other files is left to when they are run."""
    known = vocabulary()
    loaded: dict[str, Scenario] = {}
    problems: list[str] = []
    for path in files:
        try:
            scenario = load_scenario(_shown(path), vocabulary=known)
        except ScenarioError as error:
            if not wanted or path.stem in wanted:
                problems += error.problems
            continue
        if not scenario.expectations:
            problems.append(f"{_shown(path)}:1: nothing is expected: add `expectations`, or `healthy: true` there")
        elif scenario.name in loaded:
            other = _shown(loaded[scenario.name].path)
            problems.append(f"{_shown(path)}:1: {other} has the name {scenario.name!r} too")
        else:
            loaded[scenario.name] = scenario
    return [loaded[name] for name in sorted(loaded)], problems


def _no_such(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    return f"There is no scenario {name}. " + (f"Did you mean: {', '.join(close)}?" if close else "")


def _shown(path: Path) -> Path:
    """Relative to where we are, if it is below: what people read and click."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path


def _check_policy(manifest: Object) -> list[str]:
    try:
        PolicySpec.model_validate(manifest["spec"])
    except ValidationError as error:
        return [
            f"spec.{'.'.join(str(part) for part in detail['loc'])}: {str(detail['msg']).removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
    return []
