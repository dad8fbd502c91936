"""The list's live updates: what differs between the screen and the database, as htmx fragments.

The socket's client says which rows it shows in which version; from then on the server knows the screen and sends
only differences, so a replay never doubles a row and a reconnect loses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from healing.dashboard.rows import Row, Section, Slot, load_rows, slots
from healing.event_filters import EventFilter

#: Rows one message may bring; the rest follows in the next, so that a browser never stalls on a flood.
MAX_ROWS_A_MESSAGE = 100


@dataclass(frozen=True, slots=True)
class Update:
    """``html`` is empty when the screen is up to date; ``shown`` is what it shows afterwards, as
    ``{name: "section version"}``; ``more`` says that another call has more to send."""

    html: str
    shown: dict[str, str]
    more: bool = False


def label(slot: Slot) -> str:
    """What the client keeps about a row: its section and version."""
    return f"{slot.section} {slot.version}"


def render_row(row: Row, *, oob: bool = False) -> SafeString:
    """One row as its section shows it."""
    return render_to_string(f"dashboard/rows/{row.section}.html", {"row": row, "event": row.event, "oob": oob})


def counts(wanted: list[Slot]) -> dict[str, int]:
    """How many rows each section has."""
    return {section.value: sum(slot.section == section for slot in wanted) for section in Section}


def update(filters: EventFilter, shown: Mapping[str, str]) -> Update:
    """What brings a screen that shows ``shown`` up to date."""
    wanted = slots(filters)
    target = {slot.name: label(slot) for slot in wanted}
    if target == shown:
        return Update("", dict(shown))
    changed = [slot for slot in wanted if shown.get(slot.name) != target[slot.name]]
    batch = changed[:MAX_ROWS_A_MESSAGE]
    rows = load_rows([slot.pk for slot in batch])
    html: list[SafeString] = []
    after = dict(shown)
    for name, old in shown.items():
        if name not in target or not target[name].startswith(old.split(" ", 1)[0] + " "):
            html.append(format_html('<li id="event-{}" hx-swap-oob="delete"></li>', name))
            del after[name]
    sending = {slot.name for slot in batch}
    previous: dict[Section, str] = {}
    for slot in wanted:
        if slot.name in sending and (row := rows.get(slot.pk)) is not None:
            row_slot = Slot(slot.pk, slot.name, row.section, row.version)
            if row.section == slot.section:  # moved on since the index was read: the next doorbell brings it
                html.append(_place(row, previous.get(slot.section), is_new=slot.name not in after))
                after[slot.name] = label(row_slot)
        if slot.name in after:
            previous[slot.section] = slot.name
    html.append(render_to_string("dashboard/now/_counts.html", {"counts": counts(wanted), "oob": True}))
    return Update(mark_safe("\n".join(html)), after, more=len(changed) > len(batch))  # noqa: S308 - joined safe parts


def _place(row: Row, previous: str | None, *, is_new: bool) -> SafeString:
    if not is_new:
        return render_row(row, oob=True)
    where = f"afterend:#event-{previous}" if previous else f"afterbegin:#rows-{row.section}"
    return format_html('<ul hx-swap-oob="{}">{}</ul>', where, render_row(row))
