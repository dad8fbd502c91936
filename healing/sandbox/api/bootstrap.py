"""What a new cluster already has: namespaces, their service accounts, roles, priority classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_SYSTEM = User("system:apiserver", ("system:masters",), field_manager="kube-apiserver")


def bootstrap(server: ApiServer) -> None:
    for name in NAMESPACES:
        namespace: Object = {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
        server.create("namespaces", None, namespace, user=_SYSTEM)
