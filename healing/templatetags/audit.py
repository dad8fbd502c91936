"""For the audit page."""

from __future__ import annotations

import json

from django import template

register = template.Library()


@register.filter
def pretty_json(value: object) -> str:
    """Indented, keys in order; escaped by the template."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
