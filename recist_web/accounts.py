"""Signing in: local accounts with a lock-out, and the limits on trying.

Who tries wrong passwords is locked out by user name *and* address: nobody can lock another person out of their account
from elsewhere, and nobody gets further by trying many names from one address (limited by itself).
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from axes.backends import AxesStandaloneBackend
from django.contrib.auth import views as auth_views
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse_lazy

from healing import audit
from healing.api import limits
from healing.audit import Actor
from recist_web.oidc import sign_in_link

#: Tries from one address, right or wrong, whatever the name.
TRIES_OF_AN_ADDRESS = 30
TRIES_WINDOW_SECONDS = 300


class LockOut(AxesStandaloneBackend):  # type: ignore[misc]  # axes has no types
    """Refuses who is locked out before a password is compared; lets everybody else pass on to the next backend."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:  # without one (a management command, say) there is no address to count for
            super().authenticate(request, **credentials)


class LoginView(auth_views.LoginView):
    """The sign-in page, with the button for single sign-on where that is configured."""

    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and too_many_tries(request):
            return locked_out(request)
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["single_sign_on"] = sign_in_link(self.get_redirect_url())
        return context


class PasswordView(auth_views.PasswordChangeView):
    """One's own password."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("password-changed")


class PasswordChangedView(auth_views.PasswordChangeDoneView):
    """It is changed."""

    template_name = "registration/password_changed.html"


def too_many_tries(request: HttpRequest) -> bool:
    """Count one more try of the request's address."""
    return limits.count(tries_of(request.META.get("REMOTE_ADDR", "")), TRIES_WINDOW_SECONDS) > TRIES_OF_AN_ADDRESS


def tries_of(address: str) -> str:
    """What the tries of an address are counted under (`limits.count`)."""
    return f"login.{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def locked_out(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """The page for who has tried too often. Axes calls it too."""
    response = render(request, "registration/locked.html", status=HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(TRIES_WINDOW_SECONDS)
    return response


@receiver(user_logged_in)
def _signed_in(sender: Any, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> None:
    address = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    audit.record("login.succeeded", actor=Actor.of_user(user, address=address), target=f"person {user}")


@receiver(user_login_failed)
def _failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    if request is None:
        return
    name = str(credentials.get("username") or "")[:150]
    actor = Actor("person", name or "nobody", None, request.META.get("REMOTE_ADDR", ""))
    audit.record("login.failed", actor=actor, target=f"person {name}")
