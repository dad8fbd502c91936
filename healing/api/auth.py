"""Who calls: a browser's session (with its CSRF token on changes), or user name and password by HTTP Basic."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import HttpBasicAuth
from ninja.security.session import SessionAuth

from healing.api import limits
from healing.api.errors import Problem
from healing.approvals.permissions import why_not_decide

#: Wrong passwords from one address before it has to wait.
MAX_FAILURES = 20
FAILURE_WINDOW_SECONDS = 300


class ApiRequest(HttpRequest):
    """A request whose caller is known."""

    auth: User


class Session(SessionAuth):
    """The dashboard's own cookie."""

    def __call__(self, request: HttpRequest) -> User | None:
        # Who has no session gets 401, not a complaint about a CSRF token that is no use to them.
        if not request.user.is_authenticated:
            return None
        user: User | None = super().__call__(request)
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


def require_decider(user: User) -> None:
    """Raise the problem for whoever may not decide."""
    if refusal := why_not_decide(user):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)


def require_permission(user: User, permission: str, what: str) -> None:
    """Raise the problem for whoever lacks a Django permission; ``what`` completes "You may not …"."""
    if not user.has_perm(permission):
        raise Problem(
            HTTPStatus.FORBIDDEN, "forbidden", f"You may not {what}: ask an admin for the permission {permission}."
        )
