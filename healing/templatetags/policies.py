"""Filters of the policies' pages."""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def as_json(value: Any) -> str:
    """A field's value as it is written in the resource; what is not set says so."""
    return _("not set") if value is None else json.dumps(value, ensure_ascii=False, default=str)
