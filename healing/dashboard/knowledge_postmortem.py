"""An event's postmortem as Markdown: computed from the record, then a person's; and Markdown as safe HTML."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _, ngettext, pgettext

from healing.dashboard import words
from healing.dashboard.event_view import EventView
from healing.findings import Diagnosis, Finding
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
        "# "
        + _("Postmortem: %(target)s %(symptom)s")
        % {"target": _plain(target), "symptom": _plain(words.symptom_words(event.symptom))},
        _("Event `%(name)s`, %(at)s, cluster `%(cluster)s`. Written by ReCiSt.")
        % {"name": event.name, "at": _at(event.detected_at), "cluster": event.cluster},
        "## " + _("Summary"),
        " ".join(_plain(sentence) for sentence in view.story),
        "## " + _("Impact"),
        "\n".join(f"- {line}" for line in _impact(view)),
        "## " + _("Timeline (UTC)"),
        "\n".join(_timeline(view)),
        "## " + _("Root cause"),
        "\n\n".join(_cause(view)),
        "## " + _("What was done"),
        "\n".join(_actions(view)),
        "## " + _("What memory knew"),
        "\n".join(_memory(view)),
        "## " + _("Follow-ups"),
        "\n".join(f"- [ ] {line}" for line in _follow_ups(view)),
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
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else _("unknown")


def _plain(text: str) -> str:
    """One line, with nothing that Markdown would take for its own."""
    line = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        line = line.replace(mark, f"\\{mark}")
    return line


def _impact(view: EventView) -> Iterator[str]:
    event = view.event
    seen_as = _plain(event.message or words.symptom_words(event.symptom))
    yield _("Seen as: %(what)s") % {"what": seen_as}
    text = _("Severity: %(severity)s; seen %(count)s time(s)")
    yield text % {"severity": event.severity, "count": event.occurrences}
    if event.contained_at:
        yield _("Contained after %(took)s") % {"took": _since(event.detected_at, event.contained_at)}
    if event.healed_at:
        yield _("Well again after %(took)s") % {"took": _since(event.detected_at, event.healed_at)}
    elif event.finished_at:
        text = _("Ended as **%(outcome)s** after %(took)s")
        took = _since(event.detected_at, event.finished_at)
        yield text % {"outcome": words.humanize(event.outcome), "took": took}
    else:
        yield _("Not over yet")
    if view.waited_seconds:
        text = _("Of that, %(waited)s were spent waiting for a person")
        yield text % {"waited": words.duration(view.waited_seconds)}
    touched = sorted({words.reference_words(row.target) for row in view.actions if row.applied_at})
    if touched:
        yield _("Changed by the healing: %(names)s") % {"names": _plain(", ".join(touched))}


def _since(start: datetime, end: datetime) -> str:
    return words.duration((end - start).total_seconds())


def _timeline(view: EventView) -> Iterator[str]:
    told = [entry for entry in view.timeline if entry.kind not in _TALK]
    columns = (pgettext("column", "when"), pgettext("column", "who"), pgettext("column", "what"))
    yield f"| {' | '.join(columns)} |"
    yield "|---|---|---|"
    yield f"| {_at(view.event.detected_at)} | ReCiSt | {_plain(view.event.message or view.event.symptom)} |"
    for entry in told[:_MOST_LINES]:
        who = entry.actor or ActorKind(entry.actor_kind).label
        yield f"| {_at(entry.at)} | {_plain(str(who))} | {_plain(entry.message)} |"
    if len(told) > _MOST_LINES:
        left = len(told) - _MOST_LINES
        text = ngettext(
            "%(count)s more entries are on the event's page", "%(count)s more entries are on the event's page", left
        )
        yield f"| | | {text % {'count': left}} |"


def _cause(view: EventView) -> Iterator[str]:
    diagnosis = Diagnosis.from_json(view.event.diagnosis)
    best = diagnosis.best
    if best is None:
        yield _("No cause could be named.")
        return
    yield _("**%(cause)s** of %(object)s (%(percent)s%% sure). %(explanation)s") % {
        **_finding(best),
        "explanation": _plain(best.explanation),
    }
    proof = [e for e in diagnosis.evidence if e.id in best.evidence][:_MOST_EVIDENCE]
    if proof:
        yield "\n".join(f"- {_plain(e.title)}{f': {_plain(e.text.splitlines()[0])}' if e.text else ''}" for e in proof)
    others = [_("%(cause)s of %(object)s (%(percent)s%%)") % _finding(found) for found in diagnosis.findings[1:4]]
    if others:
        yield _("Also considered: %(causes)s.") % {"causes": "; ".join(others)}
    if diagnosis.missing_sources:
        yield _("Not seen: %(sources)s.") % {"sources": _plain(", ".join(sorted(diagnosis.missing_sources)))}


def _finding(found: Finding) -> dict[str, str]:
    return {
        "cause": found.cause,
        "object": _plain(str(found.object)),
        "percent": f"{found.confidence * 100:.0f}",
    }


def _actions(view: EventView) -> Iterator[str]:
    done = [row for row in view.actions if row.applied_at]
    if not done:
        yield _("Nothing was changed.")
    for row in done:
        what = f"{words.action_words(row.action)} {_plain(words.reference_words(row.target))}"
        yield f"- {_at(row.applied_at)}: {what}: {row.state}"
    for strategy in view.strategies:
        if strategy.row.state in ("failed", "undone"):
            values = {"title": _plain(strategy.row.title), "reason": _plain(strategy.row.state_reason)}
            yield "- " + (_("In vain: %(title)s. %(reason)s") % values).rstrip()
    for approval in Approval.objects.filter(event=view.event, decided_at__isnull=False).order_by("decided_at"):
        values = {
            "at": _at(approval.decided_at),
            "decision": str(approval.get_state_display()),
            "who": _plain(getattr(approval, "decided_by_name", "") or _("nobody")),
        }
        comment = f": {_plain(approval.comment)}" if approval.comment else ""
        yield "- " + _("%(at)s: %(decision)s by %(who)s") % values + comment


def _memory(view: EventView) -> Iterator[str]:
    if not view.memories:
        yield _("Nothing like it was on record.")
    for memory in view.memories:
        yield f"- {_plain(memory.title)}{f': {_plain(memory.lines[0].text)}' if memory.lines else ''}"


def _follow_ups(view: EventView) -> Iterator[str]:
    event = view.event
    diagnosis = Diagnosis.from_json(event.diagnosis)
    best = diagnosis.best
    if event.outcome not in ("healed", "recovered"):
        why = event.outcome_reason or _("ReCiSt could not")
        yield _("Find out what heals it: %(why)s") % {"why": _plain(why)}
    if best is None or best.confidence < 0.75:
        yield _("Confirm or correct the root cause (Knowledge, the entry of this event)")
    if best is not None and best.would_settle:
        missing = _plain("; ".join(best.would_settle))
        yield _("Make visible what was missing: %(missing)s") % {"missing": missing}
    if any(row.applied_at for row in view.actions):
        yield _("Bring what was changed in the cluster into the repository that it is deployed from")
    if view.memories and any(m.data.get("cause") == event.cause for m in view.memories if event.cause):
        yield _("It has happened before: remove the cause for good")
    yield _("Is there a test or an alarm that would have caught it earlier?")
