"""The admin site's looks (django-unfold)."""

UNFOLD = {
    "SITE_TITLE": "ReCiSt",
    "SITE_HEADER": "ReCiSt",
    "SITE_SUBHEADER": "Policies, people, records",
    "SITE_SYMBOL": "healing",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}
