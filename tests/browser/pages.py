"""Every page there is, for tests that look at all of them."""

from __future__ import annotations

from django.urls import NoReverseMatch, reverse

from healing.dashboard.navigation import NAVIGATION
from healing.models import HealingEvent

#: Django's admin is another product's page, with a test of its own.
NOT_OURS = ("admin",)


def all_pages(told: dict[str, HealingEvent]) -> list[str]:
    """The pages of the rail, and one of each kind behind them."""
    found = []
    for entry in NAVIGATION:
        if entry.key in NOT_OURS:
            continue
        try:
            found.append(reverse(entry.url_name))
        except NoReverseMatch:
            continue
    found += [reverse("dashboard:halt"), f"/policies/{told['waiting'].policy_id}/"]
    return [*found, *(f"/events/{told[name].name}/" for name in ("waiting", "verifying", "healed", "escalated"))]
