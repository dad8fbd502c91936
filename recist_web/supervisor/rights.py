"""What the user of a kubeconfig may do, asked before anything is done, and said so that somebody can grant the rest.

Whoever may not look into the whole cluster is limited to the namespaces that were named, or to that of the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import yaml

from healing.cluster.kinds import KINDS
from healing.cluster.kubernetes import KubernetesCluster
from recist_web import rbac
from recist_web.rbac import Permission
from recist_web.supervisor.errors import CannotStartError

TIMEOUT_SECONDS = 10.0
# Without these nothing would ever be found.
_VITAL = tuple(Permission.of(verb, "Pod") for verb in ("get", "list", "watch"))
# A slow API server takes seconds for each; it is not much work for it.
_QUESTIONS_AT_ONCE = 24

#: A permission and the namespace it is needed in; empty: in the whole cluster.
Need = tuple[Permission, str]


@dataclass(frozen=True, slots=True)
class Rights:
    """`namespaces`: we may look into these only; empty: into all. `lease_namespace`: where the watchers' Lease lies."""

    namespaces: tuple[str, ...]
    lease_namespace: str
    lacking: tuple[Need, ...]


class Asking:
    """Questions to one API server about its user. All methods raise `healing.ports.errors`."""

    def __init__(self, cluster: KubernetesCluster, where: str) -> None:
        """`where` names the user in messages: "context 'x' in /path"."""
        self._cluster = cluster
        self._where = where

    def find(self, lease_namespace: str, wanted: Sequence[str], fallback: str) -> Rights:
        """`wanted`: the namespaces to be limited to, if any; `fallback`: the context's own namespace. CannotStartError
        when what nothing works without is lacking: to see pods, and to hold the Lease."""
        namespaces = tuple(wanted) or self._reach(fallback)
        self._check_pods(namespaces)
        lease_namespace = self._check_lease(lease_namespace, namespaces)
        return Rights(namespaces, lease_namespace, tuple(self.lacking(needs(namespaces))))

    def lacking(self, wanted: Iterable[Need]) -> list[Need]:
        """Those that are not granted."""
        wanted = list(wanted)
        with ThreadPoolExecutor(max_workers=_QUESTIONS_AT_ONCE) as pool:
            answers = list(pool.map(self._may, wanted))
        return [need for need, may in zip(wanted, answers, strict=True) if not may]

    def _may(self, need: Need) -> bool:
        permission, namespace = need
        return self._cluster.can_i(
            permission.verb,
            permission.kind,
            namespace,
            subresource=permission.subresource,
            timeout_seconds=TIMEOUT_SECONDS,
        )

    def _reach(self, fallback: str) -> tuple[str, ...]:
        """Everywhere, if pods may be seen everywhere; else the context's namespace, if they may be seen there."""
        if not self.lacking((permission, "") for permission in _VITAL):
            return ()
        if self.lacking((permission, fallback) for permission in _VITAL):
            raise CannotStartError(
                f"The user of {self._where} may not get, list and watch pods, neither in the whole cluster nor in its "
                f"namespace {fallback}.\n"
                "Name the namespaces that it may look into with --namespace NAME (repeat it for more), or give it the "
                "shipped roles, helm/recist/templates/rbac.yaml (docs/security.md says how)."
            )
        return (fallback,)

    def _check_pods(self, namespaces: tuple[str, ...]) -> None:
        lacking = self.lacking((permission, name) for name in namespaces for permission in _VITAL)
        if lacking:
            raise CannotStartError(
                f"The user of {self._where} {may_not(lacking)}: without that nothing would ever be found.\n"
                f"{grant(lacking)}"
            )

    def _check_lease(self, wanted: str, namespaces: tuple[str, ...]) -> str:
        """Where the Lease may be held: where it was wanted, or in a namespace that we are limited to."""
        for name in dict.fromkeys((wanted, *namespaces)):
            if not self.lacking((permission, name) for permission in rbac.own_namespace()):
                return name
        lacking = self.lacking((permission, wanted) for permission in sorted(rbac.own_namespace()))
        raise CannotStartError(
            f"The user of {self._where} {may_not(lacking)}: the watchers' Lease has to be held there.\n"
            f"{grant(lacking)}\nOr set POD_NAMESPACE to a namespace where it may."
        )


def needs(namespaces: Sequence[str]) -> list[Need]:
    """Everything that some part of ReCiSt uses. What has no namespace is needed in the cluster all the same."""
    found: list[Need] = []
    for permission in sorted(rbac.cluster_wide()):
        everywhere = not namespaces or not KINDS[permission.kind].namespaced
        found += [(permission, "")] if everywhere else [(permission, name) for name in namespaces]
    return found


def may_not(lacking: Iterable[Need]) -> str:
    """``may not patch deployments.apps in namespace shop; get, list nodes``."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for permission, namespace in lacking:
        resource = f"{permission.resource}.{permission.group}" if permission.group else permission.resource
        grouped.setdefault((resource, namespace), []).append(permission.verb)
    parts = [
        f"{', '.join(verbs)} {resource}" + (f" in namespace {namespace}" if namespace else "")
        for (resource, namespace), verbs in grouped.items()
    ]
    return f"may not {'; '.join(parts)}"


def left_out(lacking: Iterable[Need]) -> list[str]:
    """A line for each resource and namespace: what may not be done, and what of ReCiSt is left out for it."""
    grouped: dict[tuple[str, str, str], list[Need]] = {}
    for need in lacking:
        grouped.setdefault((need[0].resource, need[0].group, need[1]), []).append(need)
    return [
        f"{may_not(these)}: {_joined(sorted({use for permission, _ in these for use in rbac.uses_of(permission)}))}"
        for these in grouped.values()
    ]


def grant(lacking: Iterable[Need]) -> str:
    """The rules to be added, by namespace, as an admin would paste them."""
    by_namespace: dict[str, list[Permission]] = {}
    for permission, namespace in lacking:
        by_namespace.setdefault(namespace, []).append(permission)
    parts = []
    for namespace, permissions in by_namespace.items():
        what = f"a Role of its in namespace {namespace}" if namespace else "a ClusterRole of its"
        rules = yaml.safe_dump(rbac.rules(permissions), width=1000, default_flow_style=None)
        parts.append(f"Add to {what}:\n" + "".join(f"    {line}\n" for line in rules.splitlines()).rstrip())
    return "\n".join(parts)


def _joined(uses: list[str]) -> str:
    return f"without {', '.join(uses[:6])}{' and more' if len(uses) > 6 else ''}"
