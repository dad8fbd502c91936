"""The list's live updates: what differs between a screen and the database, as htmx fragments.

The socket's client says which rows it shows in which version; from then on the server knows the screen and sends
only differences, so a replay never doubles a row and a reconnect loses none. One `Content` serves all screens with the
same filter and scope, and all of them share one `RowStore`: each row is read and rendered once, however many show it.
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
#: Rendered rows kept for the next page that needs them.
MAX_ROWS_KEPT = 5000


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


class RowStore:
    """Rendered rows. A row looks the same to all who have it in the same section: it is rendered once for them. Not for
    two threads at once."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[str, SafeString]] = {}

    def get(self, slot: Slot) -> tuple[str, SafeString] | None:
        """The row for this slot's section, with the label it was rendered for, which may be another than the slot's."""
        return self._rows.get((slot.name, slot.section))

    def render(self, wanted: Iterable[Slot], grants: Grants) -> None:
        """Have these rows as they are now. Queries, where a slot's version is not there yet."""
        missing = [slot for slot in wanted if self._rows.get((slot.name, slot.section), ("",))[0] != label(slot)]
        rows = load_rows([slot.pk for slot in missing], grants)
        if len(self._rows) > MAX_ROWS_KEPT:
            self._rows.clear()
        for slot in missing:
            self._rows.pop((slot.name, slot.section), None)
            if (row := rows.get(slot.pk)) is not None:
                # Under the section it is in by now: it may have moved on since the slot was read.
                self._rows[slot.name, row.section] = (f"{row.section} {row.version}", render_row(row))


class Content:
    """What pages with this filter show to who has these grants. Not for two threads at once."""

    def __init__(
        self, filters: EventFilter, grants: Grants, cap: int = ROWS_SHOWN, rendered: RowStore | None = None
    ) -> None:
        self.filters = filters
        self.grants = grants
        self.cap = cap
        self.slots = Slots([], {})
        self._target: dict[str, str] = {}
        self._rendered = RowStore() if rendered is None else rendered

    def read(self) -> None:
        """What there is now: a few light queries."""
        self.slots = slots(self.filters, self.grants, self.cap)
        self._target = {slot.name: label(slot) for slot in self.slots.wanted}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many events each section has, shown or not."""
        return self.slots.counts

    def sections(self) -> dict[str, list[SafeString]]:
        """All rows, rendered, for a whole page."""
        self._rendered.render(self.slots.wanted, self.grants)
        found: dict[str, list[SafeString]] = {section.value: [] for section in Section}
        for slot in self.slots.wanted:
            if (row := self._rendered.get(slot)) is not None:
                found[slot.section].append(row[1])
        return found

    def difference(self, shown: Mapping[str, str]) -> Update:
        """What brings a screen that shows ``shown`` up to date."""
        target = self._target
        if target == shown:
            return Update("", shown)
        changed = [slot for slot in self.slots.wanted if shown.get(slot.name) != target[slot.name]]
        batch = changed[:MAX_ROWS_A_MESSAGE]
        self._rendered.render(batch, self.grants)
        html: list[SafeString] = []
        after = dict(shown)
        for name, old in shown.items():
            if name not in target or not target[name].startswith(old.split(" ", 1)[0] + " "):
                html.append(format_html('<li id="event-{}" hx-swap-oob="delete"></li>', name))
                del after[name]
        sending = {slot.name for slot in batch}
        previous: dict[Section, str] = {}
        for slot in self.slots.wanted:
            # Without a row, it has moved on since: the next look brings it.
            if slot.name in sending and (found := self._rendered.get(slot)) is not None:
                rendered_as, row = found
                html.append(_place(slot, row, previous.get(slot.section), is_new=slot.name not in after))
                after[slot.name] = rendered_as
            if slot.name in after:
                previous[slot.section] = slot.name
        html.append(render_to_string("dashboard/now/_counts.html", {"counts": self.counts, "oob": True}))
        joined = mark_safe("\n".join(html))  # noqa: S308 - safe parts
        return Update(joined, after, more=len(changed) > len(batch))


def _place(slot: Slot, row: SafeString, previous: str | None, *, is_new: bool) -> SafeString:
    if not is_new:
        return mark_safe(row.replace(" data-row=", ' hx-swap-oob="true" data-row=', 1))  # noqa: S308 - was safe
    where = f"afterend:#event-{previous}" if previous else f"afterbegin:#rows-{slot.section}"
    return format_html('<ul hx-swap-oob="{}">{}</ul>', where, row)
