"""Single sign-on by OpenID Connect, on django-allauth: code flow with PKCE and a nonce, the ID token's signature
checked with the provider's keys, roles from the groups the provider tells."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing import audit
from healing.access import Role
from healing.audit import Actor

log = structlog.get_logger(__name__)

PROVIDER_ID = "sso"
_NONCES = "oidc-nonces"
_NONCES_KEPT = 5
_PROVIDER_SECONDS = 8


def sign_in_link(following: str) -> tuple[str, str] | None:
    """(what the button says, where it leads); None: single sign-on is not configured."""
    if not settings.OIDC_IS_SET:
        return None
    query = f"?{urlencode({'next': following})}" if following else ""
    says = _("Sign in with %(name)s") % {"name": settings.OIDC_NAME}
    return says, reverse("openid_connect_login", args=[PROVIDER_ID]) + query


class Provider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth has no types
    """allauth's, with a nonce in every request for a code, and nothing from the browser's query in it."""

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, Any]:
        params: dict[str, Any] = self.get_auth_params()
        nonce = secrets.token_urlsafe(24)
        # Several tabs may be signing in.
        request.session[_NONCES] = [*request.session.get(_NONCES, []), nonce][-_NONCES_KEPT:]
        return {**params, "nonce": nonce}


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # as above
    """allauth's, which trusts an ID token because TLS brought it; ours is checked: signature, issuer, audience, expiry,
    nonce."""

    def get_provider(self) -> Provider:
        return Provider(self.request, app=super().get_provider().app)

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        encoded = kwargs["response"].get("id_token")
        if not encoded:
            raise OAuth2Error("The provider sent no ID token.")
        config = self.openid_config
        try:
            claims = jwtkit.verify_and_decode(
                credential=encoded,
                keys_url=config["jwks_uri"],
                issuer=config["issuer"],
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
            )
        except (KeyError, ValueError) as error:
            raise OAuth2Error("The ID token cannot be read.") from error
        nonces, nonce = request.session.get(_NONCES, []), claims.get("nonce")
        if nonce not in nonces:
            raise OAuth2Error("The ID token's nonce is not ours.")
        request.session[_NONCES] = [other for other in nonces if other != nonce]
        found = {**claims}
        if config.get("userinfo_endpoint"):
            info = self._fetch_user_info(token.token)
            if info.get("sub") != claims.get("sub"):
                raise OAuth2Error("The provider's userinfo is about somebody else.")
            found |= info
        return self.get_provider().sociallogin_from_response(request, {"userinfo": found, "id_token": claims})


Provider.oauth2_adapter_class = Adapter


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Who is let in, and with which role."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def get_requests_session(self) -> Any:
        session = super().get_requests_session()
        send = session.request

        def with_timeout(*args: Any, **kwargs: Any) -> Any:
            return send(*args, **{"timeout": _PROVIDER_SECONDS, **kwargs})

        session.request = with_timeout
        return session

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        claims = sociallogin.account.extra_data.get("userinfo") or {}
        if settings.OIDC_ROLES and role_of(claims) is None:
            audit.record("login.refused", actor=_actor(request, claims), data={"groups": groups_of(claims)[:50]})
            text = _("You are in none of the groups that may sign in here. Ask an admin of your identity provider.")
            raise ImmediateHttpResponse(_refused(request, text, HTTPStatus.FORBIDDEN))
        if sociallogin.is_existing:
            if not sociallogin.user.is_active:
                text = _("Your account is disabled here.")
                raise ImmediateHttpResponse(_refused(request, text, HTTPStatus.FORBIDDEN))
            give_role(sociallogin.user, claims, request)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        give_role(user, sociallogin.account.extra_data.get("userinfo") or {}, request)
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        log.warning("single sign-on failed", error=str(error), exception=str(exception)[:300])
        text = _("Signing in did not work. Try again; if it fails again, tell an admin: the log says why.")
        raise ImmediateHttpResponse(_refused(request, text, HTTPStatus.BAD_REQUEST))


def groups_of(claims: Mapping[str, Any]) -> list[str]:
    """The groups of the configured claim: a list, or words in a text; dots lead into objects."""
    value: Any = claims
    for part in settings.OIDC_GROUP_CLAIM.split(".") if settings.OIDC_GROUP_CLAIM not in claims else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    if settings.OIDC_GROUP_CLAIM in claims:
        value = claims[settings.OIDC_GROUP_CLAIM]
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def role_of(claims: Mapping[str, Any]) -> Role | None:
    """The highest role that the person's groups give."""
    roles = [Role(settings.OIDC_ROLES[group]) for group in groups_of(claims) if group in settings.OIDC_ROLES]
    return max(roles, key=lambda role: role.rank, default=None)


def give_role(user: User, claims: Mapping[str, Any], request: HttpRequest) -> None:
    """Put the person into the group of their role, and out of the others; without a map of roles nothing is touched."""
    if not settings.OIDC_ROLES:
        return
    role = role_of(claims)
    names = [str(role)] if role else []
    before = sorted(user.groups.filter(name__in=list(Role)).values_list("name", flat=True))
    if before == names and user.is_staff == (role == Role.ADMIN):
        return
    with transaction.atomic():
        user.groups.remove(*Group.objects.filter(name__in=list(Role)))
        user.groups.add(*(Group.objects.get_or_create(name=name)[0] for name in names))
        user.is_staff = role == Role.ADMIN
        user.save(update_fields=["is_staff"])
        actor = _actor(request, claims)
        target = f"person {user}"
        audit.record("role.synced", actor=actor, target=target, before={"groups": before}, after={"groups": names})


def _actor(request: HttpRequest, claims: Mapping[str, Any]) -> Actor:
    name = str(claims.get("preferred_username") or claims.get("email") or claims.get("sub") or "somebody")
    return Actor("system", f"single sign-on: {name}"[:150], None, request.META.get("REMOTE_ADDR", ""))


def _refused(request: HttpRequest, text: str, status: HTTPStatus) -> HttpResponse:
    return render(request, "registration/refused.html", {"text": text}, status=status)


@never_cache
@require_safe
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the provider."""
    return _answer(request, provider_id, OAuth2LoginView)


@never_cache
@require_safe
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Back from the provider."""
    return _answer(request, provider_id, OAuth2CallbackView)


def _answer(request: HttpRequest, provider_id: str, view: Any) -> HttpResponse:
    if provider_id != PROVIDER_ID or not settings.OIDC_IS_SET:
        raise Http404("Single sign-on is not configured.")
    try:
        response: HttpResponse = view.adapter_view(Adapter(request, provider_id))(request)
    except (OSError, ValueError, KeyError) as error:  # requests' errors are OSErrors
        log.warning("the identity provider does not answer", error=str(error)[:300])
        text = _(
            "The identity provider does not answer as it should. Try again in a minute, or sign in with a password."
        )
        return _refused(request, text, HTTPStatus.BAD_GATEWAY)
    return response
