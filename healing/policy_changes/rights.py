"""Who may change a policy: an admin of every namespace that it names, before and after."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from healing.access.roles import Capability, grants_of, refusal


def why_not_change(
    user: AbstractBaseUser | AnonymousUser,
    cluster: str,
    namespaces: Iterable[str],
    capability: Capability = Capability.ADMIN,
) -> str:
    """Empty: the person may. A policy that names no namespace needs the right everywhere in the cluster."""
    grants = grants_of(user)
    if grants.may(capability, cluster=cluster):
        return ""
    names = sorted(set(namespaces)) or [""]
    for name in names:
        if not grants.may(capability, cluster=cluster, namespace=name):
            return refusal(grants, capability, cluster=cluster, namespace=name)
    return ""
