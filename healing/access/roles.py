"""Roles, what they allow, and where they hold.

A person's grants come from being superuser or staff, from groups named like the roles (these count everywhere) and from
`RoleBinding` rows (everywhere, or in one cluster or namespace). The highest grant that holds at a place counts there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Q

from healing.models import Role, RoleBinding

__all__ = [
    "Capability",
    "Grant",
    "Grants",
    "Role",
    "grants_of",
    "refusal",
    "role_of",
    "why_not",
    "why_not_anywhere",
]


class Capability(Enum):
    """What can be allowed: the least role that has it, and its words for "You may not …"."""

    VIEW = (Role.VIEWER, "see this")
    #: hold, take over by hand, teach, trigger, annotate, halt
    OPERATE = (Role.OPERATOR, "do this")
    #: approve, reject, override
    DECIDE = (Role.APPROVER, "decide")
    #: policies, roles, tokens, lifting brakes
    ADMIN = (Role.ADMIN, "change this")

    @property
    def role(self) -> Role:
        """The least role that has it."""
        return self.value[0]

    @property
    def words(self) -> str:
        """Completes "You may not …"."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Grant:
    """One role at one place; empty names: any."""

    role: Role
    cluster: str = ""
    namespace: str = ""

    def holds_at(self, cluster: str, namespace: str) -> bool:
        """Whether it covers the place. An empty name asks for all of them, which only a grant for any covers."""
        return self.cluster in ("", cluster) and self.namespace in ("", namespace)


@dataclass(frozen=True, slots=True)
class Grants:
    """All that one person was given, read once: for lists and sockets that ask about many places."""

    grants: Sequence[Grant]
    signed_in: bool = True
    #: of a request by an API token: what its scopes leave of the owner's rights; None: all of them
    only: frozenset[Capability] | None = None

    def role(self, *, cluster: str = "", namespace: str = "") -> Role | None:
        """The highest role at the place."""
        roles = [grant.role for grant in self.grants if grant.holds_at(cluster, namespace)]
        return max(roles, key=lambda role: role.rank, default=None)

    def may(self, capability: Capability, *, cluster: str = "", namespace: str = "") -> bool:
        """Whether the role at the place has the capability."""
        if self.only is not None and capability not in self.only:
            return False
        role = self.role(cluster=cluster, namespace=namespace)
        return role is not None and role.rank >= capability.role.rank

    def may_somewhere(self, capability: Capability) -> bool:
        """Whether there is any place where the person may."""
        if self.only is not None and capability not in self.only:
            return False
        return any(grant.role.rank >= capability.role.rank for grant in self.grants)

    def places(self, capability: Capability, *, cluster: str = "cluster", namespace: str = "target_namespace") -> Q:
        """Filters rows to places where the person may; the arguments name the fields. Events' fields by default."""
        if self.only is not None and capability not in self.only:
            return Q(pk__in=())
        wanted = [grant for grant in self.grants if grant.role.rank >= capability.role.rank]
        if any(not grant.cluster and not grant.namespace for grant in wanted):
            return Q()
        q = Q(pk__in=())
        for grant in wanted:
            names = {cluster: grant.cluster, namespace: grant.namespace}
            q |= Q(**{field: name for field, name in names.items() if name})
        return q


#: Attribute of a user whose request came by an API token: the capabilities its scopes allow.
LIMIT_ATTRIBUTE = "limited_to"
NOBODY = Grants((), signed_in=False)


def grants_of(user: AbstractBaseUser | AnonymousUser) -> Grants:
    """What the person was given: two queries. `NOBODY` for who is not signed in or was shut out."""
    if not isinstance(user, User) or not user.is_active:
        return NOBODY
    grants = []
    only: frozenset[Capability] | None = getattr(user, LIMIT_ATTRIBUTE, None)
    if user.is_superuser:
        return Grants((Grant(Role.ADMIN),), only=only)
    if user.is_staff:
        grants.append(Grant(Role.APPROVER))
    if settings.DEFAULT_ROLE:
        grants.append(Grant(Role(settings.DEFAULT_ROLE)))
    names = user.groups.filter(name__in=list(Role)).values_list("name", flat=True)
    grants += [Grant(Role(name)) for name in names]
    bindings = RoleBinding.objects.filter(Q(user=user) | Q(group__user=user)).distinct()
    grants += [Grant(Role(b.role), b.cluster, b.namespace) for b in bindings.order_by()]
    return Grants(tuple(grants), only=only)


def role_of(user: AbstractBaseUser | AnonymousUser, *, cluster: str = "", namespace: str = "") -> Role | None:
    """The person's role at a place; empty names ask for all clusters, all namespaces."""
    return grants_of(user).role(cluster=cluster, namespace=namespace)


def why_not(
    user: AbstractBaseUser | AnonymousUser, capability: Capability, *, cluster: str = "", namespace: str = ""
) -> str:
    """Why this person may not do it there; empty: they may. Else a sentence that says whom to ask.

    Empty names ask for the right everywhere (all clusters, all namespaces): use `why_not_anywhere` for pages that show
    only what the person may see."""
    grants = grants_of(user)
    if grants.may(capability, cluster=cluster, namespace=namespace):
        return ""
    return refusal(grants, capability, cluster=cluster, namespace=namespace)


def why_not_anywhere(user: AbstractBaseUser | AnonymousUser, capability: Capability) -> str:
    """Why this person may not do it at any place at all; empty: somewhere they may."""
    grants = grants_of(user)
    return "" if grants.may_somewhere(capability) else refusal(grants, capability)


def refusal(grants: Grants, capability: Capability, *, cluster: str = "", namespace: str = "") -> str:
    """The sentence for who may not: what is missing, where, and whom to ask."""
    if not grants.signed_in:
        return "Sign in first."
    if grants.only is not None and capability not in grants.only:
        return f"You may not {capability.words} with this token: its scopes do not allow it. Make one that has them."
    role = grants.role(cluster=cluster, namespace=namespace)
    place = _place(cluster, namespace)
    have = f"your role{place} is '{role}'" if role else f"you have no role{place}"
    return f"You may not {capability.words}: {have}. Ask {_admins()} for the role '{capability.role}'{place}."


def _place(cluster: str, namespace: str) -> str:
    if namespace:
        return f" in namespace {namespace}" + (f" of cluster {cluster}" if len(settings.CLUSTERS) > 1 else "")
    return f" in cluster {cluster}" if cluster and len(settings.CLUSTERS) > 1 else ""


def _admins() -> str:
    """Names of people who can give roles; few are enough."""
    admin = (
        Q(is_superuser=True)
        | Q(groups__name=Role.ADMIN)
        | Q(role_bindings__role=Role.ADMIN, role_bindings__cluster="", role_bindings__namespace="")
    )
    names = User.objects.filter(admin, is_active=True).order_by("username").values_list("username", flat=True)
    found = list(names.distinct()[:3])
    return f"an admin ({', '.join(found)})" if found else "an admin"
