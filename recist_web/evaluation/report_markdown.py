"""The summary for the docs: both splits and their total; single misses of the dev half only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recist_web.evaluation import texts

_SPLITS = ("dev", "sealed", "total")


def render(report: Mapping[str, Any]) -> str:
    """Markdown of the document that `recist_web.evaluation.report.build` makes."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    run, machine = report["run"], report["machine"]
    total = report["measures"]["total"]["scenarios"]
    yield "# Results of the evaluation"
    yield ""
    yield (
        f"{run['date']}, ReCiSt {run['product']}{_commit(run)}, {total['ran']} worlds with {total['expectations']} "
        f"faults ({total['healable']} to be healed, {total['mustNotAct']} not to be touched), {total['healthy']} of "
        "them healthy."
    )
    yield (
        f"Approvals: {'a stand-in approves' if run['approve'] == 'auto' else 'nobody answers'}. Language model: "
        f"{run['llm']}. Database: {run['database']}. Split by seed {run['seed']}."
    )
    if machine:
        late = ", ".join(f"{loop['lagP99Seconds']:g} s" for loop in machine.get("hosts", ()))
        yield (
            f"Machine: {machine['cores']} cores, {machine['parallel']} worlds at a time, {machine['wallSeconds']:.0f} "
            f"s; the worlds' event loops were late by {late or 'an unknown time'} at p99."
        )
    yield ""
    yield "`manage.py evaluate` writes this page; [evaluation.md](evaluation.md) says how everything is counted."
    if report["saturated"]:
        yield from ("", f"**Saturated.** {report['saturated']}")
    yield from ("", "| measure | " + " | ".join(_SPLITS) + " |", "|---|" + "---|" * len(_SPLITS))
    for key, title, _, _ in texts.PROPORTIONS:
        cells = [texts.share(report["measures"][split]["proportions"][key]) for split in _SPLITS]
        yield f"| {title} | " + " | ".join(cells) + " |"
    for key, title, _ in texts.COUNTS:
        cells = ["none" if (v := report["measures"][split]["counts"][key]) is None else str(v) for split in _SPLITS]
        yield f"| {title} | " + " | ".join(cells) + " |"
    yield from ("", "| time | p50 | p95 | n | within budget |", "|---|---|---|---|---|")
    for key, title, _ in texts.TIMES:
        yield _time(title, report["measures"]["total"]["times"][key])
    yield from _calibration(report)
    yield from _by_family(report)
    yield from _by_cause(report)
    yield from _misses(report)


def _commit(run: Mapping[str, Any]) -> str:
    return f" (`{run['commit']}`)" if run["commit"] else ""


def _time(title: str, found: Mapping[str, Any]) -> str:
    if not found["n"]:
        return f"| {title.strip()} | | | 0 | |"
    budget = found["budgetSeconds"]
    within = f"{texts.share(found['withinBudget'])} within {budget:g} s" if budget else ""
    return f"| {title.strip()} | {found['p50']} s | {found['p95']} s | {found['n']} | {within} |"


def _by_family(report: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## By family", "")
    yield "| family | worlds | without a miss | faults | detected | root cause | to be healed | healed |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, f in report["measures"]["total"]["families"].items():
        cells = ("scenarios", "clean", "expectations", "detected", "rootCause", "healable", "healed")
        yield f"| {name} | " + " | ".join(str(f[cell]) for cell in cells) + " |"


def _calibration(report: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Confidence against being right", "")
    yield "Of the first named causes, how many were right (cause and object), by the confidence they were named with."
    yield from ("", "| confidence | mean | right |", "|---|---|---|")
    for row in report["measures"]["total"]["calibration"]:
        yield f"| {row['from']:.0%} to {row['to']:.0%} | {row['mean']:.0%} | {texts.share(row['right'])} |"


def _by_cause(report: Mapping[str, Any]) -> Iterator[str]:
    sealed = {row["cause"]: row for row in report["measures"]["sealed"]["causes"]}
    dev = {row["cause"]: row for row in report["measures"]["dev"]["causes"]}
    yield from ("", "## Root cause by cause", "", "| cause | dev | sealed |", "|---|---|---|")
    for row in report["measures"]["total"]["causes"]:
        cells = [_right(half.get(row["cause"])) for half in (dev, sealed)]
        yield f"| {row['cause']} | " + " | ".join(cells) + " |"


def _right(row: Mapping[str, Any] | None) -> str:
    return f"{row['rootCause']} of {row['faults']}" if row else ""


def _misses(report: Mapping[str, Any]) -> Iterator[str]:
    missed = [s for s in report["scenarios"] if s["score"]["misses"]]
    sealed = sum(1 for s in missed if s["split"] == "sealed")
    yield from ("", "## Misses of the dev half", "")
    for s in missed:
        if s["split"] == "dev":
            yield f"- `{s['name']}`: {'; '.join(s['score']['misses'])}"
    yield from (
        "",
        f"{sealed} scenarios of the sealed half were missed; which ones is in no page that rules are tuned by.",
    )
    if not_run := [s for s in report["scenarios"] if not s["score"]["ran"]]:
        yield from ("", "## Could not be run", "")
        yield from (f"- `{s['name']}`: {s['problem']}" for s in not_run)
