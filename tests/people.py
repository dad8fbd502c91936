"""People with roles, for tests."""

from __future__ import annotations

from django.contrib.auth.models import Group, User

from healing.models import Role, RoleBinding

PASSWORD = "correct horse battery"


def person(name: str, role: str = "", *, cluster: str = "", namespace: str = "", password: str = "") -> User:
    """Somebody; with a role everywhere, or where the names say. The same person if there is one of that name."""
    user = User.objects.filter(username=name).first() or User.objects.create_user(name, password=password or None)
    if role and (cluster or namespace):
        RoleBinding.objects.get_or_create(user=user, role=role, cluster=cluster, namespace=namespace)
    elif role:
        user.groups.add(Group.objects.get_or_create(name=Role(role))[0])
    return user


def approver(name: str = "alice") -> User:
    return person(name, "approver")
