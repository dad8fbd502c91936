"""What the dashboard's templates say often: icons, times, durations, codes in words, clock bars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from healing.clocks import WoundClock
from healing.dashboard import words

register = template.Library()
register.filter("humanize_code", words.humanize)
register.filter("duration", words.duration)
register.filter("percent", words.percent)
register.filter("symptom", words.symptom_words)
register.filter("action", words.action_words)
register.filter("capitalize", words.capitalize)
register.filter("reference", words.reference_words)
register.filter("wound", words.wound_words)

# 24 x 24, drawn with the current colour as line.
_ICONS: Mapping[str, str] = {
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "cross": '<path d="m6 6 12 12M18 6 6 18"/>',
    "alert": '<path d="M12 4 2.8 20h18.4L12 4Z"/><path d="M12 10v4.5M12 17.2v.3"/>',
    "person": '<circle cx="12" cy="8" r="3.6"/><path d="M4.5 20c.8-4 3.8-6 7.5-6s6.7 2 7.5 6"/>',
    "robot": '<rect x="4.5" y="8" width="15" height="11" rx="3"/><path d="M12 8V4.5M9 13v1.5M15 13v1.5"/>',
    "rule": '<path d="M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01"/>',
    "cluster": '<path d="m12 3 7.8 4.5v9L12 21l-7.8-4.5v-9L12 3Z"/><circle cx="12" cy="12" r="3"/>',
    "clock": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.2 2"/>',
    "pause": '<path d="M9 6v12M15 6v12"/>',
    "undo": '<path d="M9 7 4.5 11.5 9 16"/><path d="M5 11.5h9a5 5 0 0 1 0 10h-2"/>',
    "shield": '<path d="M12 3.5 5 6v5.5c0 4.4 2.9 7.6 7 9 4.1-1.4 7-4.6 7-9V6l-7-2.5Z"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>',
    "spark": '<path d="M12 3.5 14 10l6.5 2-6.5 2-2 6.5-2-6.5L3.5 12l6.5-2 2-6.5Z"/>',
    "book": '<path d="M5 4.5h9a4 4 0 0 1 4 4v11H9a4 4 0 0 1-4-4v-11Z"/><path d="M5 15.5a4 4 0 0 1 4-3.5h9"/>',
    "log": '<rect x="4" y="4.5" width="16" height="15" rx="2"/><path d="m8 10 2.5 2.5L8 15M13 15h3.5"/>',
    "metric": '<path d="M4 4.5v15h16"/><path d="m7.5 15 3.5-4.5 3 2.5 4.5-6"/>',
    "change": '<path d="M7 4v12M17 8v12"/><circle cx="7" cy="18.5" r="1.8"/><circle cx="17" cy="5.5" r="1.8"/>',
    "arrow": '<path d="M5 12h14M13.5 6.5 19 12l-5.5 5.5"/>',
    "theme": '<circle cx="12" cy="12" r="8"/><path d="M12 4v16a8 8 0 0 0 0-16Z" fill="currentColor"/>',
    "keyboard": '<rect x="3" y="6.5" width="18" height="11" rx="2"/>'
    '<path d="M7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8"/>',
    "pulse": '<path d="M3 12h4l2.5-6 4.5 12 2.5-6H21"/>',
    "map": '<circle cx="6" cy="6" r="2.4"/><circle cx="18" cy="9" r="2.4"/><circle cx="9" cy="18" r="2.4"/>'
    '<path d="m8.2 7 7.5 1.5M7 8.2l1.5 7.5M16.4 10.8l-5.7 5.6"/>',
    "bell": '<path d="M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15L6 16Z"/><path d="M10 20.5h4"/>',
    "key": '<circle cx="8" cy="15" r="4"/><path d="m11 12 8-8M16 7l2.5 2.5"/>',
    "gear": '<circle cx="12" cy="12" r="3"/>'
    '<path d="M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "stop": '<path d="M8 3.5h8L20.5 8v8L16 20.5H8L3.5 16V8L8 3.5Z"/><path d="M9 9h6v6H9z" fill="currentColor"/>',
    "snow": '<path d="M12 3v18M4.2 7.5l15.6 9M19.8 7.5l-15.6 9"/>',
    "storm": '<path d="M7 15a4 4 0 1 1 1-7.9A5 5 0 0 1 17.5 9 3.3 3.3 0 0 1 17 15"/><path d="m12.5 11-3 5h4l-2.5 5"/>',
    "bolt": '<path d="M13 3 5 14h6l-1 7 8-11h-6l1-7Z"/>',
    "link": '<path d="M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.6-5.7L12 7"/>'
    '<path d="M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.6 5.7L12 17"/>',
}
_ICON_OF_EVIDENCE: Mapping[str, str] = {
    "status": "cluster",
    "event": "alert",
    "log": "log",
    "metric": "metric",
    "change": "change",
    "spec": "rule",
    "alert": "alert",
    "memory": "book",
}
_ICON_OF_ACTOR: Mapping[str, str] = {
    "system": "spark",
    "rule": "rule",
    "llm": "robot",
    "person": "person",
    "cluster": "cluster",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A decorative icon; the text beside it says what it means."""
    # Only constants of this module.
    return mark_safe(  # noqa: S308
        f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{_ICONS.get(name, "")}</svg>'
    )


@register.filter
def evidence_icon(kind: str) -> str:
    """Icon name for a kind of evidence."""
    return _ICON_OF_EVIDENCE.get(kind, "search")


@register.filter
def actor_icon(kind: str) -> str:
    """Icon name for who did something."""
    return _ICON_OF_ACTOR.get(kind, "spark")


@register.simple_tag
def when(value: datetime | str | None, style: str = "datetime") -> SafeString:
    """A moment: UTC as served and on hover, the reader's local time once the script has run.

    ``style``: datetime, clock (time of day), age (counts up) or ago ("3 m ago")."""
    at = parse_datetime(value) if isinstance(value, str) and value else value
    if not isinstance(at, datetime):
        return SafeString("")
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-style="{}" title="{} UTC">{} UTC</time>',
        at.isoformat(timespec="milliseconds"),
        style,
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%H:%M:%S}",
    )


@register.simple_tag
def countdown(until: datetime) -> SafeString:
    """The time left, counting down once the script has run."""
    until = until.astimezone(UTC)
    text = _("until %(moment)s UTC")
    return format_html(
        '<time class="countdown" datetime="{}" data-style="countdown" title="{}">{}</time>',
        until.isoformat(timespec="milliseconds"),
        text % {"moment": f"{until:%Y-%m-%d %H:%M:%S}"},
        text % {"moment": f"{until:%H:%M}"},
    )


@register.inclusion_tag("dashboard/_bar.html")
def clock_bar(clock: WoundClock) -> dict[str, Any]:
    """A clock against its budget. The bar is full at the budget; what is over it is said in words."""
    share = min(1.0, clock.elapsed_seconds / clock.budget_seconds)
    return {"clock": clock, "width": f"{share * 100:.1f}%"}


@register.filter
def score_width(fraction: float) -> str:
    """0..1 as a width for SVG."""
    return f"{max(0.0, min(1.0, fraction or 0.0)) * 100:.1f}%"


@register.filter
def outcome_icon(outcome: str) -> str:
    """Icon name for how an event ended."""
    return {"healed": "check", "recovered": "check", "declined": "cross", "escalated": "person"}.get(outcome, "alert")
