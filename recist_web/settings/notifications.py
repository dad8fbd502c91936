"""How people are told elsewhere, and what may be called for it."""

from typing import Any
from urllib.parse import unquote, urlsplit

from healing.safe_http import Allowed
from recist_web.settings.base import _ENV

# Links in messages lead there; empty: messages have none.
PUBLIC_URL = _ENV.PUBLIC_URL or (_ENV.CSRF_TRUSTED_ORIGINS[0] if _ENV.CSRF_TRUSTED_ORIGINS else "")
NOTIFY_WHEN: list[str] = list(_ENV.NOTIFY_WHEN)
NOTIFY_EMAIL_TO = _ENV.NOTIFY_EMAIL_TO
NOTIFY_WEBHOOK_URL = _ENV.NOTIFY_WEBHOOK_URL or ""
PAGERDUTY_URL = _ENV.PAGERDUTY_URL
NOTIFICATION_ALLOWED = Allowed.parse(_ENV.NOTIFICATION_ALLOW_PRIVATE)
# Read when a message is sent, by their names here: rows of messages hold the name only.
NOTIFICATION_SECRETS = {
    name: secret.get_secret_value()
    for name in ("NOTIFY_SLACK_URL", "NOTIFY_PAGERDUTY_KEY", "NOTIFY_WEBHOOK_KEY")
    if (secret := getattr(_ENV, name)) is not None
}

DEFAULT_FROM_EMAIL = _ENV.EMAIL_FROM


def _email(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    ports = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
    return {
        "EMAIL_HOST": parts.hostname or "",
        "EMAIL_PORT": parts.port or ports[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+starttls",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
    }


# Without SMTP_URL nothing can be sent by e-mail, and a message that should be says so.
EMAIL_IS_SET = _ENV.SMTP_URL is not None
EMAIL_TIMEOUT = 10
globals().update(_email(_ENV.SMTP_URL.get_secret_value()) if _ENV.SMTP_URL else {})
