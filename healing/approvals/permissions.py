"""Who may decide. Asked by every view, socket message and API operation: the one place to change."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

APPROVER_GROUP = "approver"


def why_not_decide(user: AbstractBaseUser | AnonymousUser) -> str:
    """Why this person may not approve, reject or override; empty: they may."""
    if not isinstance(user, User) or not user.is_active:
        return "Sign in to decide."
    if user.is_staff or user.groups.filter(name=APPROVER_GROUP).exists():
        return ""
    return f"You can watch, but not decide: ask an admin to add you to the group '{APPROVER_GROUP}'."
