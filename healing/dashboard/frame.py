"""What surrounds every page: navigation with counts, banners, the health of our own parts, the clusters to choose from.

Read for the page by the template tag `read_frame`; its socket renders the same regions again when they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from healing.access import Capability, Grants, grants_of
from healing.access.roles import refusal
from healing.dashboard import navigation
from healing.dashboard.banners import Banner, banners
from healing.dashboard.parts import Part, parts
from healing.dashboard.warnings_view import open_warning_count
from healing.lifecycle import Phase
from healing.models import HealingEvent

#: Regions of the frame that a socket keeps fresh; each has a template dashboard/frame/<name>.html.
REGIONS = ("banners", "badges", "parts")


@dataclass(frozen=True, slots=True)
class FrameRegion:
    """A rendered part of the frame with an etag of its content; ``html`` is its whole element."""

    name: str
    etag: str
    html: SafeString

    @property
    def element_id(self) -> str:
        """Id of the element, which is what the client reports the etag under."""
        return f"frame-{self.name}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What changes while a page is open."""

    banners: list[Banner]
    parts: list[Part]
    counts: dict[str, int]

    @property
    def halts(self) -> list[Banner]:
        return [banner for banner in self.banners if banner.kind == "halt"]

    @property
    def troubled(self) -> list[Part]:
        return [part for part in self.parts if not part.ok]

    def render(self, *, oob: bool = False) -> list[FrameRegion]:
        """All regions; ``oob`` marks them to be put in place of the old ones."""
        return [_region(name, self, oob=oob) for name in REGIONS]


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of one page for one person."""

    around: Surroundings
    places: list[navigation.Place]
    regions: dict[str, SafeString]
    clusters: list[str]
    cluster: str
    now: datetime
    why_not_halt: str
    why_not_lift: str


def surroundings(grants: Grants) -> Surroundings:
    """For who has these grants."""
    return Surroundings(banners(grants, timezone.now()), parts(), read_counts(grants))


def frame_of(request: HttpRequest) -> Frame:
    """The frame of this page for who asks."""
    user = request.user
    grants = grants_of(user)
    around = surroundings(grants)
    return Frame(
        around=around,
        places=navigation.places(user, grants, request.path, around.counts) if isinstance(user, User) else [],
        regions={region.name: region.html for region in around.render()},
        clusters=list(settings.CLUSTERS) if len(settings.CLUSTERS) > 1 else [],
        cluster=request.GET.get("cluster", ""),
        now=timezone.now(),
        why_not_halt="" if grants.may_somewhere(Capability.OPERATE) else refusal(grants, Capability.OPERATE),
        why_not_lift="" if grants.may_somewhere(Capability.ADMIN) else refusal(grants, Capability.ADMIN),
    )


def read_counts(grants: Grants) -> dict[str, int]:
    """What the badges say, for what this person may see."""
    seen = HealingEvent.objects.filter(grants.places(Capability.VIEW), finished_at=None)
    waiting = seen.filter(phase=Phase.AWAITING_APPROVAL)
    mine = waiting.filter(grants.places(Capability.DECIDE)) if grants.may_somewhere(Capability.DECIDE) else waiting
    return {
        "waiting": mine.count(),
        "live": seen.exclude(phase=Phase.AWAITING_APPROVAL).count(),
        "warnings": open_warning_count(grants),
    }


def _region(name: str, around: Surroundings, *, oob: bool) -> FrameRegion:
    content = render_to_string(f"dashboard/frame/{name}.html", {"around": around}).strip()
    etag = blake2b(content.encode(), digest_size=8).hexdigest()
    html = format_html(
        '<div class="frame-region" id="frame-{}" data-etag="{}"{}>{}</div>',
        name,
        etag,
        SafeString(' hx-swap-oob="true"' if oob else ""),
        SafeString(content),
    )
    return FrameRegion(name, etag, html)
