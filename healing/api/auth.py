"""Who calls: a browser's session (with its CSRF token on changes), an API token as a bearer, or user name and password
by HTTP Basic."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import HttpBasicAuth, HttpBearer
from ninja.security.session import SessionAuth

from healing import api_tokens as tokens
from healing.access import Capability, why_not, why_not_anywhere
from healing.access.roles import LIMIT_ATTRIBUTE
from healing.api import limits
from healing.api.errors import Problem
from healing.models import ApiToken, Scope

#: Wrong passwords from one address before it has to wait.
MAX_FAILURES = 20
FAILURE_WINDOW_SECONDS = 300

#: The permissions of Django's admin that operations were bound to, as capabilities.
_CAPABILITY_OF_PERMISSION = {"healing.add_halt": Capability.OPERATE}


class ApiRequest(HttpRequest):
    """A request whose caller is known; ``token``: where it came by one."""

    auth: User
    token: ApiToken | None


class Session(SessionAuth):
    """The dashboard's own cookie."""

    def __call__(self, request: HttpRequest) -> User | None:
        # Who has no session gets 401, not a complaint about a CSRF token that is no use to them.
        if not request.user.is_authenticated:
            return None
        user: User | None = super().__call__(request)
        return user


class Bearer(HttpBearer):
    """An API token. Nothing is counted here: 256 random bits are not guessed, and whoever has a wrong token in their
    configuration must not shut out others behind the same address."""

    #: whether tokens with nothing but the scope ``webhooks`` get in
    for_webhooks = False

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        found = tokens.find(token, address=request.META.get("REMOTE_ADDR", ""))
        if found is None:
            return None
        if not self.for_webhooks and set(found.scopes) == {Scope.WEBHOOKS}:
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "This token is for webhooks only: it opens nothing else.")
        user = tokens.user_of(found)
        request.user = user
        request.token = found  # type: ignore[attr-defined]
        return user


class WebhookBearer(Bearer):
    """As `Bearer`, where webhooks are delivered: the token needs the scope for it."""

    for_webhooks = True
    openapi_scheme = "bearer"

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = super().authenticate(request, token)
        found: ApiToken | None = getattr(request, "token", None)
        if user is not None and found is not None and Scope.WEBHOOKS not in found.scopes:
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "This token lacks the scope 'webhooks'.")
        return user


class Basic(HttpBasicAuth):
    """For scripts. Each wrong password counts; too many from one address are refused unread."""

    def authenticate(self, request: HttpRequest, username: str, password: str) -> User | None:
        key = "failures." + hashlib.sha256(request.META.get("REMOTE_ADDR", "").encode()).hexdigest()[:32]
        if limits.count(key, FAILURE_WINDOW_SECONDS, add=0) >= MAX_FAILURES:
            raise HttpError(
                HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong passwords from this address. Wait five minutes."
            )
        # A NUL is an error to PostgreSQL, and part of no name.
        user = authenticate(request, username=username, password=password) if "\0" not in username else None
        if isinstance(user, User):
            request.user = user
            return user
        limits.count(key, FAILURE_WINDOW_SECONDS)
        return None


def require(user: User, capability: Capability, *, cluster: str = "", namespace: str = "") -> None:
    """Raise the problem for whoever may not do it there; what a token's scopes leave out counts too."""
    if refusal := why_not(user, capability, cluster=cluster, namespace=namespace):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)


def require_decider(user: User) -> None:
    """Raise the problem for whoever may decide nowhere; whether they may at a place, who decides there asks again."""
    if refusal := why_not_anywhere(user, Capability.DECIDE):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)


def require_permission(user: User, permission: str, what: str) -> None:
    """Raise the problem for whoever lacks a Django permission; ``what`` completes "You may not …". By a token, its
    scopes have to allow it as well."""
    limit: frozenset[Capability] | None = getattr(user, LIMIT_ATTRIBUTE, None)
    needed = _CAPABILITY_OF_PERMISSION.get(permission, Capability.ADMIN)
    if limit is not None and needed not in limit:
        raise Problem(
            HTTPStatus.FORBIDDEN, "forbidden", f"You may not {what} with this token: its scopes do not allow it."
        )
    if not user.has_perm(permission):
        raise Problem(
            HTTPStatus.FORBIDDEN, "forbidden", f"You may not {what}: ask an admin for the permission {permission}."
        )
