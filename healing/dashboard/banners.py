"""What stands above every page while automation does not run as usual: halted, frozen, in a storm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _, ngettext

from healing.access import Capability, Grants
from healing.actions import brakes
from healing.models import Halt, HealingEvent, Policy
from healing.policies import freeze
from healing.policy_changes.rights import may_see

#: Events older than this are no sign that many things broke at once.
STORM_LOOKS_BACK = timedelta(minutes=5)
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Banner:
    """``title`` says what holds, ``text`` why and what to do; ``until``: when it ends by itself. ``halt_id``: what the
    button lifts, where the reader may."""

    kind: Literal["halt", "freeze", "storm"]
    title: str
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    halt_id: int | None = None


def banners(grants: Grants, now: datetime) -> list[Banner]:
    """The most serious first."""
    return [*_halts(grants), *_storms(now), *_freezes(grants, now)]


def _halts(grants: Grants) -> list[Banner]:
    found = []
    for halt in Halt.objects.filter(lifted_at=None).order_by("cluster", "created_at"):
        title = (
            _("Automation is halted in cluster %(cluster)s.") % {"cluster": halt.cluster}
            if halt.cluster
            else _("Automation is halted everywhere.")
        )
        by = _("%(who)s: “%(why)s”") % {"who": halt.created_by or _("Somebody"), "why": halt.reason}
        may_lift = grants.may(Capability.ADMIN, cluster=halt.cluster)
        consequence = _("Faults are still found and explained; nothing is done in the cluster until it is lifted.")
        found.append(
            Banner("halt", title, f"{by} {consequence}", since=halt.created_at, halt_id=halt.pk if may_lift else None)
        )
    return found


def _storms(now: datetime) -> list[Banner]:
    """By the newest event of each cluster that has open ones: its policy says how many are a storm."""
    found = []
    recent = HealingEvent.objects.filter(finished_at=None, detected_at__gt=now - STORM_LOOKS_BACK)
    for cluster in recent.order_by("cluster").values_list("cluster", flat=True).distinct():
        event = recent.filter(cluster=cluster).order_by("-detected_at").only("pk", "cluster", "policy_snapshot").first()
        if event is None:
            continue
        limit = _storm_faults(event)
        if limit and (count := brakes.faults_at_once(event, now)) >= limit:
            where = f" ({cluster})" if len(settings.CLUSTERS) > 1 else ""
            title = ngettext(
                "Storm%(where)s: %(count)s thing is at fault at once.",
                "Storm%(where)s: %(count)s different things are at fault at once.",
                count,
            ) % {"where": where, "count": count}
            text = _("Faults are contained and fixes proposed; nothing runs unless somebody approves it.")
            found.append(Banner("storm", title, text))
    return found


def _storm_faults(event: HealingEvent) -> int:
    limits = event.policy_snapshot.get("limits") or {}
    value = limits.get("stormFaults", limits.get("storm_faults", 10))
    return value if isinstance(value, int) else 0


def _freezes(grants: Grants, now: datetime) -> list[Banner]:
    """Of policies that the person may see: their names say what is in other namespaces."""
    windows: dict[tuple[str, datetime], list[str]] = {}
    has_windows = Q(spec__limits__freezeWindows__isnull=False)
    for policy in Policy.objects.filter(has_windows, enabled=True).only("name", "namespace", "cluster", "spec"):
        if not may_see(grants, policy):
            continue
        for text in policy.spec["limits"]["freezeWindows"] or ():
            try:
                ends = freeze.parse(str(text)).until(now)
            except ValueError:
                continue  # the policy's own page says what is wrong with it
            if ends is not None:
                windows.setdefault((str(text), ends), []).append(str(policy))
    found = []
    for (text, ends), names in sorted(windows.items(), key=lambda item: item[0][1]):
        shown = ", ".join(names[:SHOWN]) + ("…" if len(names) > SHOWN else "")
        title = ngettext(
            "Changes are frozen by policy %(names)s.", "Changes are frozen by policies %(names)s.", len(names)
        )
        why = _("Window %(window)s. Every change waits for somebody's approval.") % {"window": text}
        found.append(Banner("freeze", title % {"names": shown}, why, until=ends))
    return found
