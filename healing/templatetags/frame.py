"""The frame around every page, read by the base template itself: no view has to hand it over."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.http import HttpRequest

from healing.dashboard.frame import Frame, frame_of

register = template.Library()


@register.simple_tag(takes_context=True)
def read_frame(context: dict[str, Any]) -> Frame:
    """`{% read_frame as frame %}`: navigation, banners, health, for the person of the request."""
    request: HttpRequest = context["request"]
    return frame_of(request)


@register.simple_tag
def is_demo() -> bool:
    """Whether this is the demo, where people may break something."""
    return bool(getattr(settings, "DEMO_CONTROL_URL", ""))
