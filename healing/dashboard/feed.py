"""The list's live updates: what differs between a screen and the database, as htmx fragments.

The socket's client says which rows it shows in which version; from then on the server knows the screen and sends
only differences, so a replay never doubles a row and a reconnect loses none. One `Content` serves all screens with the
same filter and scope: each row is read and rendered once, however many show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from healing.access import Grants
from healing.dashboard.rows import Row, Section, Slot, Slots, load_rows, slots
from healing.event_filters import EventFilter

#: Rows one message may bring; the rest follows in the next, so that a browser never stalls on a flood.
MAX_ROWS_A_MESSAGE = 100
#: Rows of the live section before "show more", and with it.
ROWS_SHOWN, ALL_ROWS_SHOWN = 100, 1000


@dataclass(frozen=True, slots=True)
class Update:
    """``html`` is empty when the screen is up to date; ``shown`` is what it shows afterwards, as
    ``{name: "section version"}``; ``more`` says that another call has more to send."""

    html: str
    shown: Mapping[str, str]
    more: bool = False


def label(slot: Slot) -> str:
    """What the client keeps about a row: its section and version."""
    return f"{slot.section} {slot.version}"


def render_row(row: Row) -> SafeString:
    """One row as its section shows it."""
    return render_to_string(f"dashboard/rows/{row.section}.html", {"row": row, "event": row.event})


class Content:
    """What pages with this filter show to who has these grants. Not for two threads at once."""

    def __init__(self, filters: EventFilter, grants: Grants, cap: int = ROWS_SHOWN) -> None:
        self.filters = filters
        self.grants = grants
        self.cap = cap
        self.slots = Slots([], {})
        self._target: dict[str, str] = {}
        #: rendered rows by name, each with the label it was rendered for
        self._rendered: dict[str, tuple[str, SafeString]] = {}

    def read(self) -> None:
        """What there is now: a few light queries."""
        self.slots = slots(self.filters, self.grants, self.cap)
        self._target = {slot.name: label(slot) for slot in self.slots.wanted}
        self._rendered = {name: kept for name, kept in self._rendered.items() if name in self._target}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many events each section has, shown or not."""
        return self.slots.counts

    def sections(self) -> dict[str, list[SafeString]]:
        """All rows, rendered, for a whole page."""
        self._render(self.slots.wanted)
        found: dict[str, list[SafeString]] = {section.value: [] for section in Section}
        for slot in self.slots.wanted:
            if slot.name in self._rendered:
                found[slot.section].append(self._rendered[slot.name][1])
        return found

    def difference(self, shown: Mapping[str, str]) -> Update:
        """What brings a screen that shows ``shown`` up to date."""
        target = self._target
        if target == shown:
            return Update("", shown)
        changed = [slot for slot in self.slots.wanted if shown.get(slot.name) != target[slot.name]]
        batch = changed[:MAX_ROWS_A_MESSAGE]
        self._render(batch)
        html: list[SafeString] = []
        after = dict(shown)
        for name, old in shown.items():
            if name not in target or not target[name].startswith(old.split(" ", 1)[0] + " "):
                html.append(format_html('<li id="event-{}" hx-swap-oob="delete"></li>', name))
                del after[name]
        sending = {slot.name for slot in batch}
        previous: dict[Section, str] = {}
        for slot in self.slots.wanted:
            if slot.name in sending and slot.name in self._rendered:
                rendered_as, row = self._rendered[slot.name]
                if rendered_as.startswith(f"{slot.section} "):  # moved on since: the next look brings it
                    html.append(_place(slot, row, previous.get(slot.section), is_new=slot.name not in after))
                    after[slot.name] = rendered_as
            if slot.name in after:
                previous[slot.section] = slot.name
        html.append(render_to_string("dashboard/now/_counts.html", {"counts": self.counts, "oob": True}))
        joined = mark_safe("\n".join(html))  # noqa: S308 - safe parts
        return Update(joined, after, more=len(changed) > len(batch))

    def _render(self, wanted: Iterable[Slot]) -> None:
        missing = [slot for slot in wanted if self._rendered.get(slot.name, ("",))[0] != label(slot)]
        rows = load_rows([slot.pk for slot in missing], self.grants)
        for slot in missing:
            if (row := rows.get(slot.pk)) is not None:
                self._rendered[slot.name] = (f"{row.section} {row.version}", render_row(row))


def _place(slot: Slot, row: SafeString, previous: str | None, *, is_new: bool) -> SafeString:
    if not is_new:
        return mark_safe(row.replace(" data-row=", ' hx-swap-oob="true" data-row=', 1))  # noqa: S308 - was safe
    where = f"afterend:#event-{previous}" if previous else f"afterbegin:#rows-{slot.section}"
    return format_html('<ul hx-swap-oob="{}">{}</ul>', where, row)
