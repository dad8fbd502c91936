"""What a browser may do with our pages, and the secrets behind sessions."""

from typing import Any

from csp.constants import NONE, SELF
from django.core.management.utils import get_random_secret_key

from recist_web.settings.base import _ENV

# Without SECRET_KEY management commands still work; the web process refuses to start (recist_web/asgi.py), because
# with a key of its own each process would refuse the sessions of the others.
SECRET_KEY_IS_SET = _ENV.SECRET_KEY is not None
SECRET_KEY = _ENV.SECRET_KEY.get_secret_value() if _ENV.SECRET_KEY else get_random_secret_key()
# Keys of before, apart by blanks or lines: sessions and what they have sealed are still read.
SECRET_KEY_FALLBACKS = _ENV.SECRET_KEY_FALLBACKS.get_secret_value().split() if _ENV.SECRET_KEY_FALLBACKS else []

ALLOWED_HOSTS = _ENV.ALLOWED_HOSTS
CSRF_TRUSTED_ORIGINS = _ENV.CSRF_TRUSTED_ORIGINS

# HTTPS_ONLY=off is for plain HTTP on one's own machine (`make demo`).
_HTTPS = _ENV.HTTPS_ONLY and not _ENV.DEBUG
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
SECURE_SSL_REDIRECT = _HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_HTTPONLY = True
# With the prefix a browser takes the cookie from this host over HTTPS alone: no neighbour in the domain can set it.
SESSION_COOKIE_NAME = "__Host-recist-session" if _HTTPS else "sessionid"
SESSION_COOKIE_AGE = _ENV.SESSION_HOURS * 3600
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"
X_FRAME_OPTIONS = "DENY"

# Everything is forbidden, then what the pages need is allowed: no inline script or style, nothing from elsewhere.
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    },
}
