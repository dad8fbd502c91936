"""The same worlds with ReCiSt and without anybody, and the same ill clusters diagnosed by ReCiSt and by another tool.

`k8s-sre-agent` (PyPI, Apache-2.0) is compared where it is installed, in an environment of its own: K8S_SRE_AGENT names
its program. Both tools see the same moment of the same cluster, objects and logs, and use no language model.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recist_web.bench import untended
from recist_web.bench.section import Bench, CannotMeasureError, Number, Result, p50_p95
from recist_web.evaluation.run import Evaluation, Options
from recist_web.evaluation.selection import Chosen, select
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.ports import free_port
from recist_web.supervisor.tree import MANAGE, python

TITLE = "With ReCiSt, without it, and beside another tool"
OTHER, OTHER_VERSION = "k8s-sre-agent", "0.1.0"
_NOT_THERE = (
    f"not installed: python -m venv DIR && DIR/bin/pip install {OTHER}=={OTHER_VERSION}, then "
    f"K8S_SRE_AGENT=DIR/bin/{OTHER}"
)
#: a snapshot is taken when a fault has had time to show, and alarms would have gone off
_ILL_AFTER_SECONDS = 60.0
_PROCESS_SECONDS = 60.0
_IMPORTANT = ("critical", "warning")


@dataclass(slots=True)
class Tool:
    """What one tool said, over all snapshots."""

    seconds: list[float] = field(default_factory=list)
    right_object: int = 0
    hit: int = 0
    right_cause: int = 0
    false_findings: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """Of one snapshot: objects as (kind, name), best first."""

    objects: Sequence[tuple[str, str]]
    causes: Sequence[str]
    seconds: float


def run(bench: Bench) -> Result:
    """Worlds of the dev half alone. COMPARE_WORLDS: how many with faults (and a third as many healthy ones)."""
    count = bench.pick(full=_count(), smoke=1)
    faulty, healthy = _chosen(count)
    watched_seconds = bench.pick(full=240.0, smoke=30.0)
    other = _other()
    result = Result(
        parameters={
            "worlds": ", ".join(one.name for one in faulty),
            "healthy_worlds": ", ".join(one.name for one in healthy) or "none",
            "watched_after_the_last_step_seconds": watched_seconds,
            OTHER: str(other) if other else _NOT_THERE,
        }
    )
    ours, theirs = Tool(), Tool()
    with untended.running([*faulty, *healthy], bench.directory / "untended") as worlds:
        up = worlds.rise()
        bench.say(f"{len(up)} of {len(faulty) + len(healthy)} worlds are up")
        by_name = {one.name: one for one in worlds.chosen}

        def look(name: str) -> None:
            _diagnose(bench, worlds, by_name[name], other, ours, theirs)

        worlds.play(watched_seconds, min(_ILL_AFTER_SECONDS, watched_seconds), look)
        alone = [value for one in faulty if one.name in up for value in untended.recoveries(worlds.record(one))]
    result.numbers += _recovery("plain Kubernetes", alone)
    if bench.size == "full":  # the whole product would take minutes of a smoke test
        result.numbers += _recovery("with ReCiSt", _with_recist(bench, [one for one in faulty if one.name in up]))
    ill = sum(1 for one in faulty if one.name in up)
    well = len(up) - ill
    result.numbers += _said("ReCiSt", ours, ill, well, has_causes=True)
    if other is not None:
        result.numbers += _said(OTHER, theirs, ill, well)
    return result


def _count() -> int:
    text = os.environ.get("COMPARE_WORLDS", "12")
    try:
        return max(1, int(text))
    except ValueError as error:
        raise CannotMeasureError(f"COMPARE_WORLDS is a number: {error}") from error


def _chosen(count: int) -> tuple[list[Chosen], list[Chosen]]:
    """Spread evenly over the names, so that no kind of fault is preferred."""
    dev = select([], split="dev")
    faulty = [
        one
        for one in dev
        if not one.scenario.healthy and all(e.fixes and not e.must_not_act for e in one.scenario.expectations)
    ]
    healthy = [one for one in dev if one.scenario.healthy]
    return _spread(faulty, count), _spread(healthy, count // 3)


def _spread(worlds: list[Chosen], count: int) -> list[Chosen]:
    count = min(count, len(worlds))
    return [worlds[number * len(worlds) // count] for number in range(count)]


def _other() -> Path | None:
    named = os.environ.get("K8S_SRE_AGENT") or shutil.which(OTHER)
    if named and not Path(named).is_file():
        raise CannotMeasureError(f"K8S_SRE_AGENT names {named}, which is not there.")
    return Path(named) if named else None


# --- diagnosis ----------------------------------------------------------------------------------------------------


def _diagnose(bench: Bench, worlds: untended.Worlds, one: Chosen, other: Path | None, ours: Tool, theirs: Tool) -> None:
    kubeconfig = worlds.kubeconfig(one.name)
    namespaces = untended.workload_namespaces(kubeconfig)
    snapshot = untended.write_snapshot(kubeconfig, bench.directory / "snapshots" / one.name, namespaces)
    _note(ours, one, _ask_ours(snapshot))
    if other is not None:
        _note(theirs, one, _ask_theirs(other, kubeconfig, snapshot, namespaces))


def _ask_ours(snapshot: Path) -> Said:
    answer, seconds = _run(python(MANAGE, "diagnose", str(snapshot), "--json"), {})
    findings = answer["findings"]
    objects = [(finding["object"]["kind"], finding["object"]["name"]) for finding in findings]
    return Said(objects, [finding["cause"] for finding in findings], seconds)


def _ask_theirs(other: Path, kubeconfig: Path, snapshot: Path, namespaces: Sequence[str]) -> Said:
    """It looks at one namespace at a time: all of them count as one diagnosis, the most severe findings first."""
    findings: list[Mapping[str, Any]] = []
    seconds = 0.0
    for namespace in namespaces:
        file = snapshot.with_name(f"{snapshot.name}.{namespace}.json")
        taken = [str(other), "snapshot", "-n", namespace, "-f", str(file), "--log-lines", str(untended.LOG_LINES)]
        subprocess.run(taken, env=_quiet({"KUBECONFIG": str(kubeconfig)}), capture_output=True, check=True,
                       timeout=_PROCESS_SECONDS)  # fmt: skip
        asked = [str(other), "diagnose", "-n", namespace, "--from-snapshot", str(file), "-o", "json", "--llm", "none"]
        answer, took = _run(asked, {})
        findings += answer["findings"]
        seconds += took
    important = [finding for finding in findings if finding["severity"] in _IMPORTANT]
    important.sort(key=lambda finding: _IMPORTANT.index(finding["severity"]))
    parts = [str(finding["workload"]).partition("/") for finding in important]
    return Said([(kind, name) for kind, _, name in parts], [], seconds)


def _run(command: list[str], environment: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """Its JSON, and how long the whole process took: what a person at a terminal waits."""
    started = time.monotonic()
    done = subprocess.run(
        command, env=_quiet(environment), capture_output=True, text=True, check=False, timeout=_PROCESS_SECONDS
    )
    if done.returncode:
        raise CannotMeasureError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout), time.monotonic() - started


def _quiet(more: Mapping[str, str]) -> dict[str, str]:
    """No proxy and no language model: nothing leaves the machine."""
    dropped = ("PROXY", "_API_KEY", "SRE_AGENT_")
    return {**{k: v for k, v in os.environ.items() if not any(part in k.upper() for part in dropped)}, **more}


def _note(tool: Tool, one: Chosen, said: Said) -> None:
    tool.seconds.append(said.seconds)
    expected = [e for e in one.scenario.expectations if not e.healthy]
    if not expected:
        tool.false_findings += len(said.objects)
        return
    if not said.objects:
        return
    roots = {(str(e.object["kind"]), str(e.object["name"])) for e in expected}
    hurt = {target.partition("/")[2] for e in expected for target in (*e.well_workloads, *e.well_services)}
    tool.right_object += said.objects[0] in roots
    tool.hit += said.objects[0] in roots or said.objects[0][1] in hurt
    tool.right_cause += bool(said.causes) and said.causes[0] in {cause for e in expected for cause in e.causes}


def _said(name: str, tool: Tool, ill: int, well: int, *, has_causes: bool = False) -> list[Number]:
    found = [
        Number(f"{name}: names the root cause's object first", float(tool.right_object), f"of {ill}"),
        Number(f"{name}: names it, or a workload that it hurts, first", float(tool.hit), f"of {ill}"),
        Number(f"{name}: findings in healthy worlds", float(tool.false_findings), f"in {well} worlds"),
        *p50_p95(f"{name}: a diagnosis, process start included", tool.seconds),
    ]
    if has_causes:
        found.insert(2, Number(f"{name}: names the right cause first", float(tool.right_cause), f"of {ill}"))
    return found


# --- recovery -----------------------------------------------------------------------------------------------------


def _with_recist(bench: Bench, chosen: list[Chosen]) -> list[float | None]:
    options = Options(parallel=min(6, len(chosen)), port=free_port(), directory=bench.directory / "tended")
    (bench.directory / "tended").mkdir()
    try:
        with Evaluation(chosen, options, bench.say) as evaluation:
            outcome = evaluation.run(lambda record: bench.say(f"  with ReCiSt: {record['name']} has ended"))
    except CannotStartError as error:
        raise CannotMeasureError(str(error)) from error
    return [value for record in outcome.records if not record["problem"] for value in untended.recoveries(record)]


def _recovery(name: str, values: Sequence[float | None]) -> list[Number]:
    done = [value for value in values if value is not None]
    found = [Number(f"{name}: faults after which all was well again", float(len(done)), f"of {len(values)}")]
    return found + (p50_p95(f"{name}: from the fault to all well, of those", done) if done else [])
