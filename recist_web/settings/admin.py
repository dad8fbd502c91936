"""The admin site's looks (django-unfold)."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static


def _mark(request: HttpRequest) -> str:
    return static("img/recist.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ReCiSt",
    "SITE_HEADER": "ReCiSt",
    "SITE_SUBHEADER": "Policies, people, records",
    "SITE_ICON": _mark,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _mark}],
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    # The dashboard's accent (static/css/tokens.css) in unfold's steps.
    "COLORS": {
        "primary": {
            "50": "#edf8f8",
            "100": "#d3eeef",
            "200": "#a9dde0",
            "300": "#74c5ca",
            "400": "#3fa6ad",
            "500": "#1f8b94",
            "600": "#0b6b74",
            "700": "#085860",
            "800": "#08474e",
            "900": "#083b41",
            "950": "#04262b",
        },
    },
}
