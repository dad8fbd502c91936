"""Filters of the policies' pages."""

from __future__ import annotations

import json
import re
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def as_json(value: Any) -> str:
    """A field's value as it is written in the resource; what is not set says so."""
    return _("not set") if value is None else json.dumps(value, ensure_ascii=False, default=str)


@register.filter
def with_code(text: str) -> SafeString:
    """What stands in backticks, as code."""
    parts = re.split(r"`([^`]+)`", text)
    marked = (format_html("<code>{}</code>" if index % 2 else "{}", part) for index, part in enumerate(parts))
    return format_html_join("", "{}", ((part,) for part in marked))
