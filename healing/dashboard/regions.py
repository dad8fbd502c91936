"""An event's page as regions: parts that are rendered alike for the first load and for the socket.

Each region carries an etag of its content. The client says which etags it shows and how far its timeline goes; what
differs is sent again, timeline entries are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from healing.dashboard import timeline
from healing.dashboard.event_view import EventView, load_event
from healing.models import TimelineEntry

#: Regions in the order of the page; each has a template dashboard/event/<name>.html.
REGIONS = (
    "story",
    "phases",
    "decision",
    "diagnosis",
    "model",
    "graph",
    "strategies",
    "actions",
    "verification",
    "metrics",
    "evidence",
    "similar",
    "facts",
)


@dataclass(frozen=True, slots=True)
class Update:
    """``html`` is empty when the page is up to date; ``seq`` and ``etags`` are what it shows afterwards."""

    html: str
    seq: int
    etags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Region:
    """A rendered part; ``html`` is its whole element."""

    name: str
    etag: str
    html: SafeString

    @property
    def element_id(self) -> str:
        """Id of the element, which is what the client reports the etag under."""
        return f"r-{self.name}"


def render(view: EventView, *, oob: bool = False) -> list[Region]:
    """All regions in the order of the page; ``oob`` marks them for htmx to put in place of the old ones."""
    return [_render(name, view, oob=oob) for name in REGIONS]


def _render(name: str, view: EventView, *, oob: bool) -> Region:
    content = render_to_string(f"dashboard/event/{name}.html", {"view": view, "event": view.event}).strip()
    etag = blake2b(content.encode(), digest_size=8).hexdigest()
    html = format_html(
        '<div class="region" id="r-{}" data-etag="{}"{}>{}</div>',
        name,
        etag,
        SafeString(' hx-swap-oob="true"' if oob else ""),
        SafeString(content),
    )
    return Region(name, etag, html)


def render_timeline(entries: list[TimelineEntry], before: TimelineEntry | None = None) -> SafeString:
    """Timeline entries as list items; ``before`` is the entry that stands in front of them already."""
    return format_html_join(
        "\n",
        "{}",
        (
            (render_to_string("dashboard/event/_entry.html", {"entry": entry}),)
            for entry in timeline.entry_views(entries, before)
        ),
    )


def update(name: str, user: User, seq: int, etags: Mapping[str, str]) -> Update:
    """What brings a page that shows the timeline up to ``seq`` and regions with ``etags`` up to date."""
    view = load_event(name, user)
    if view is None:
        return Update("", seq, dict(etags))
    rendered = render(view, oob=True)
    html = [region.html for region in rendered if etags.get(region.element_id) != region.etag]
    newer = [entry for entry in view.timeline if entry.seq > seq]
    if newer:
        before = next((entry for entry in reversed(view.timeline) if entry.seq <= seq), None)
        items = render_timeline(newer, before)
        html.append(format_html('<ol hx-swap-oob="beforeend:#timeline">{}</ol>', items))
        seq = newer[-1].seq
    return Update("\n".join(html), seq, {region.element_id: region.etag for region in rendered})
