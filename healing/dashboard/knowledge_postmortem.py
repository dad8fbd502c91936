"""An event's postmortem as Markdown: computed from the record, then a person's; and Markdown as safe HTML."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.utils.safestring import SafeString, mark_safe

from healing.dashboard import words
from healing.dashboard.event_view import EventView
from healing.findings import Diagnosis
from healing.models import ActorKind, Approval
from healing.redaction import redact
from knowledge.models import Postmortem

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: Entries of the timeline that say how it was found out rather than what happened.
_TALK = frozenset({"argued", "hypotheses", "candidates", "looked", "evidence"})
_MOST_EVIDENCE, _MOST_LINES = 10, 60


def current(view: EventView) -> tuple[str, int, Postmortem | None]:
    """(Markdown, version, the row if a person has edited it)."""
    row = Postmortem.objects.filter(event_ref=view.event.name).first()
    return (row.markdown, row.version, row) if row else (compute(view), 0, None)


def compute(view: EventView) -> str:
    """Title, summary, impact, timeline, cause, actions, lessons, follow-ups."""
    event = view.event
    target = words.target_words(event.target_kind, event.target_namespace, event.target_name)
    parts = [
        f"# Postmortem: {_plain(target)} {_plain(words.symptom_words(event.symptom))}",
        f"Event `{event.name}`, {_at(event.detected_at)}, cluster `{event.cluster}`. Written by ReCiSt.",
        "## Summary",
        " ".join(_plain(sentence) for sentence in view.story),
        "## Impact",
        "\n".join(_impact(view)),
        "## Timeline (UTC)",
        "\n".join(_timeline(view)),
        "## Root cause",
        "\n\n".join(_cause(view)),
        "## What was done",
        "\n".join(_actions(view)),
        "## What memory knew",
        "\n".join(_memory(view)),
        "## Follow-ups",
        "\n".join(_follow_ups(view)),
    ]
    return redact("\n\n".join(parts)) + "\n"


def html(markdown: str) -> SafeString:
    """Safe to show: HTML in the text is escaped, links are http, https or mailto, images are not shown."""
    rendered: str = _renderer().render(markdown)
    return mark_safe(rendered)  # noqa: S308 - html is off in the renderer


@functools.cache
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - one page needs it

    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def _at(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else "unknown"


def _plain(text: str) -> str:
    """One line, with nothing that Markdown would take for its own."""
    line = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        line = line.replace(mark, f"\\{mark}")
    return line


def _impact(view: EventView) -> Iterator[str]:
    event = view.event
    yield f"- Seen as: {_plain(event.message or words.symptom_words(event.symptom))}"
    yield f"- Severity: {event.severity}; seen {event.occurrences} time(s)"
    if event.contained_at:
        yield f"- Contained after {words.duration((event.contained_at - event.detected_at).total_seconds())}"
    if event.healed_at:
        yield f"- Well again after {words.duration((event.healed_at - event.detected_at).total_seconds())}"
    elif event.finished_at:
        took = words.duration((event.finished_at - event.detected_at).total_seconds())
        yield f"- Ended as **{event.outcome}** after {took}"
    else:
        yield "- Not over yet"
    if view.waited_seconds:
        yield f"- Of that, {words.duration(view.waited_seconds)} were spent waiting for a person"
    touched = sorted({words.reference_words(row.target) for row in view.actions if row.applied_at})
    if touched:
        yield f"- Changed by the healing: {_plain(', '.join(touched))}"


def _timeline(view: EventView) -> Iterator[str]:
    told = [entry for entry in view.timeline if entry.kind not in _TALK]
    yield "| when | who | what |"
    yield "|---|---|---|"
    yield f"| {_at(view.event.detected_at)} | ReCiSt | {_plain(view.event.message or view.event.symptom)} |"
    for entry in told[:_MOST_LINES]:
        who = entry.actor or ActorKind(entry.actor_kind).label
        yield f"| {_at(entry.at)} | {_plain(who)} | {_plain(entry.message)} |"
    if len(told) > _MOST_LINES:
        yield f"| | | {len(told) - _MOST_LINES} more entries are on the event's page |"


def _cause(view: EventView) -> Iterator[str]:
    diagnosis = Diagnosis.from_json(view.event.diagnosis)
    best = diagnosis.best
    if best is None:
        yield "No cause could be named."
        return
    yield f"**{best.cause}** of {_plain(str(best.object))} ({best.confidence:.0%} sure). {_plain(best.explanation)}"
    proof = [e for e in diagnosis.evidence if e.id in best.evidence][:_MOST_EVIDENCE]
    if proof:
        yield "\n".join(f"- {_plain(e.title)}{f': {_plain(e.text.splitlines()[0])}' if e.text else ''}" for e in proof)
    others = diagnosis.findings[1:4]
    if others:
        yield (
            "Also considered: "
            + "; ".join(f"{f.cause} of {_plain(str(f.object))} ({f.confidence:.0%})" for f in others)
            + "."
        )
    if diagnosis.missing_sources:
        yield f"Not seen: {_plain(', '.join(sorted(diagnosis.missing_sources)))}."


def _actions(view: EventView) -> Iterator[str]:
    done = [row for row in view.actions if row.applied_at]
    if not done:
        yield "Nothing was changed."
    for row in done:
        what = f"{words.action_words(row.action)} {_plain(words.reference_words(row.target))}"
        yield f"- {_at(row.applied_at)}: {what}: {row.state}"
    for strategy in view.strategies:
        if strategy.row.state in ("failed", "undone"):
            yield f"- In vain: {_plain(strategy.row.title)}. {_plain(strategy.row.state_reason)}".rstrip()
    for approval in Approval.objects.filter(event=view.event, decided_at__isnull=False).order_by("decided_at"):
        who = getattr(approval, "decided_by_name", "") or "nobody"
        comment = f": {_plain(approval.comment)}" if approval.comment else ""
        yield f"- {_at(approval.decided_at)}: {approval.get_state_display()} by {_plain(who)}{comment}"


def _memory(view: EventView) -> Iterator[str]:
    if not view.memories:
        yield "Nothing like it was on record."
    for memory in view.memories:
        yield f"- {_plain(memory.title)}{f': {_plain(memory.lines[0].text)}' if memory.lines else ''}"


def _follow_ups(view: EventView) -> Iterator[str]:
    event = view.event
    diagnosis = Diagnosis.from_json(event.diagnosis)
    best = diagnosis.best
    if event.outcome not in ("healed", "recovered"):
        yield f"- [ ] Find out what heals it: {_plain(event.outcome_reason or 'ReCiSt could not')}"
    if best is None or best.confidence < 0.75:
        yield "- [ ] Confirm or correct the root cause (Knowledge, the entry of this event)"
    if best is not None and best.would_settle:
        yield f"- [ ] Make visible what was missing: {_plain('; '.join(best.would_settle))}"
    if any(row.applied_at for row in view.actions):
        yield "- [ ] Bring what was changed in the cluster into the repository that it is deployed from"
    if view.memories and any(m.data.get("cause") == event.cause for m in view.memories if event.cause):
        yield "- [ ] It has happened before: remove the cause for good"
    yield "- [ ] Is there a test or an alarm that would have caught it earlier?"
