"""The people of an embedded installation: who may sign in, and in which role."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from healing.models import Role

DEMO_PASSWORD = "recist-demo"  # noqa: S105 - printed on the screen; the demo listens on this machine alone
OPERATORS = str(Role.OPERATOR)
APPROVERS = str(Role.APPROVER)


@dataclass(frozen=True, slots=True)
class Login:
    """`password` is None where it is not ours to know."""

    name: str
    password: str | None
    may: str


@transaction.atomic
def ensure_roles() -> dict[str, Group]:
    """A group for each role, which counts everywhere (`healing.access`); what they may read or change in the admin
    site follows from it. Idempotent."""
    ours = Q(content_type__app_label__in=("healing", "knowledge"))
    view = set(Permission.objects.filter(ours, codename__startswith="view_"))
    decide = set(Permission.objects.filter(content_type__app_label="healing", codename="change_approval"))
    change = set(Permission.objects.filter(ours | Q(content_type__app_label="auth")))
    halt = set(Permission.objects.filter(content_type__app_label="healing", codename="add_halt"))
    groups = {}
    for role, permissions in (
        (Role.VIEWER, view),
        (Role.OPERATOR, view | halt),
        (Role.APPROVER, view | halt | decide),
        (Role.ADMIN, change),
    ):
        groups[str(role)], _ = Group.objects.get_or_create(name=role)
        groups[str(role)].permissions.set(permissions)
    return groups


def ensure_demo_people() -> list[Login]:
    """One person a role, with the demo's well-known password. Idempotent; a changed password stays changed."""
    groups = ensure_roles()
    people = (
        ("admin", "everything, also the admin site", None),
        ("operator", "watch, hold, take over, halt", groups[OPERATORS]),
        ("approver", "that, and approve, reject, override", groups[APPROVERS]),
        ("second-approver", "the same: what is dangerous needs two different people", groups[APPROVERS]),
        ("viewer", "only watch", groups[str(Role.VIEWER)]),
    )
    user_model = get_user_model()
    for name, _, group in people:
        if user_model.objects.filter(username=name).exists():
            continue
        if group is None:
            user_model.objects.create_superuser(name, password=DEMO_PASSWORD)
        else:
            user_model.objects.create_user(name, password=DEMO_PASSWORD).groups.add(group)
    return [Login(name, DEMO_PASSWORD, may) for name, may, _ in people]


def ensure_administrator() -> Login | None:
    """For a real cluster: the first start creates `admin` with a password of its own, told once. None later."""
    ensure_roles()
    user_model = get_user_model()
    if user_model.objects.exists():
        return None
    password = secrets.token_urlsafe(12)
    user_model.objects.create_superuser("admin", password=password)
    return Login("admin", password, "everything, also the admin site")
