"""Who may sign in and how often they may try: local accounts, single sign-on, the lock-out."""

from datetime import timedelta
from typing import Any

from recist_web.settings.base import _ENV

TRUSTED_PROXIES = _ENV.TRUSTED_PROXIES

AUTHENTICATION_BACKENDS = ["recist_web.accounts.LockOut", "django.contrib.auth.backends.ModelBackend"]

# Locked out is a user name from an address, so that nobody can lock out somebody else from elsewhere; tries from one
# address are limited whatever the name (recist_web/accounts.py).
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "recist_web.middleware.address_of"
AXES_LOCKOUT_CALLABLE = "recist_web.accounts.locked_out"
AXES_HTTP_RESPONSE_CODE = 429
# The audit trail has both.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

OIDC_NAME = _ENV.OIDC_NAME
OIDC_GROUP_CLAIM = _ENV.OIDC_GROUP_CLAIM
OIDC_ROLES: dict[str, str] = {group: role for group, _, role in (entry.rpartition("=") for entry in _ENV.OIDC_ROLES)}
OIDC_IS_SET = bool(_ENV.OIDC_ISSUER and _ENV.OIDC_CLIENT_ID and _ENV.OIDC_CLIENT_SECRET)


def provider_of(issuer: str, client_id: str, secret: str) -> dict[str, Any]:
    """django-allauth's settings of the one provider."""
    app = {
        "provider_id": "sso",
        "name": "sso",
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": issuer},
    }
    return {"openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True, "SCOPE": ["openid", "profile", "email"]}}


SOCIALACCOUNT_PROVIDERS: dict[str, Any] = (
    provider_of(_ENV.OIDC_ISSUER or "", _ENV.OIDC_CLIENT_ID or "", _ENV.OIDC_CLIENT_SECRET.get_secret_value())
    if OIDC_IS_SET and _ENV.OIDC_CLIENT_SECRET
    else {}
)
ACCOUNT_ADAPTER = "recist_web.oidc.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "recist_web.oidc.SocialAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SIGNUP_FIELDS = ["username*"]
SOCIALACCOUNT_AUTO_SIGNUP = True
# A local account is never taken over by whoever has the same address or name at the provider.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_STORE_TOKENS = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if _ENV.HTTPS_ONLY else "http"
