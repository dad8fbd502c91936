"""Numbers on the Insight page."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from healing.dashboard import words
from healing.dashboard.insight.drawing import STACK
from healing.dashboard.insight.numbers import Tally
from healing.dashboard.insight.scope import Scope
from healing.dashboard.insight.targets import LEAST_CASES

register = template.Library()


@register.filter
def plain(value: float) -> str:
    """A number as SVG and people read it: no locale, no needless zeros."""
    return f"{value:.1f}".removesuffix(".0")


@register.filter
def short_duration(seconds: float) -> str:
    """For an axis: ``90 s``, ``5 m``, ``2 h``."""
    if seconds < 120:
        return _("%(seconds)s s") % {"seconds": f"{seconds:g}"}
    if seconds < 7200:
        return _("%(minutes)s m") % {"minutes": f"{seconds / 60:.3g}"}
    return _("%(hours)s h") % {"hours": f"{seconds / 3600:.3g}"}


@register.filter
def hours(value: float) -> str:
    """``45 minutes``, ``12.5 hours``, ``640 hours``."""
    if value < 1:
        minutes = round(value * 60)
        return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
    if value < 100 and value % 1:
        return _("%(count)s hours") % {"count": f"{value:.1f}"}
    return ngettext("%(count)s hour", "%(count)s hours", round(value)) % {"count": round(value)}


@register.simple_tag
def share(hits: int, n: int) -> SafeString:
    """A share in per cent with its number of cases; of too few cases only the cases."""
    if not n:
        return format_html('<span class="muted">{}</span>', "\N{EN DASH}")
    cases = _("%(hits)s of %(all)s") % {"hits": hits, "all": n}
    if n < LEAST_CASES:
        return format_html('<span class="share">{}</span>', cases)
    return format_html('<span class="share" title="{}">{}</span>', cases, words.percent(hits / n))


@register.filter
def pieces(tally: Tally, width: int) -> list[tuple[str, float, float]]:
    """How the events ended, as parts of a bar: (kind, x, width)."""
    found, x = [], 0.0
    for kind, of in STACK:
        part = of(tally) / tally.events * width if tally.events else 0.0
        if part:
            found.append((kind, round(x, 1), round(part, 1)))
        x += part
    return found


@register.simple_tag
def scope_query(scope: Scope, name: str, value: str) -> str:
    """The page's parameters with one of them changed."""
    return scope.query(**{name: value})
