"""What a new cluster already has: namespaces, their service accounts, roles, priority classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SYSTEM = User("system:apiserver", ("system:masters",), field_manager="kube-apiserver")
CONTROLLER = User("system:kube-controller-manager", ("system:masters",), field_manager="kube-controller-manager")

_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_WORKLOADS = ["deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets"]
_WORKLOADS += ["statefulsets/scale", "daemonsets"]
_CORE = ["pods", "services", "configmaps", "persistentvolumeclaims", "serviceaccounts", "endpoints"]
_READ_ONLY = ["pods/log", "pods/status", "events", "limitranges", "resourcequotas", "namespaces", "bindings"]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


_VIEW = [
    _rule([""], _CORE + _READ_ONLY, _READ),
    _rule(["apps"], [*_WORKLOADS, "controllerrevisions"], _READ),
    _rule(["batch"], ["jobs", "cronjobs"], _READ),
    _rule(["autoscaling"], ["horizontalpodautoscalers"], _READ),
    _rule(["policy"], ["poddisruptionbudgets"], _READ),
    _rule(["networking.k8s.io"], ["ingresses", "networkpolicies"], _READ),
    _rule(["discovery.k8s.io"], ["endpointslices"], _READ),
]
_EDIT = [
    *_VIEW,
    _rule([""], [*_CORE, "secrets", "events", "pods/eviction"], _WRITE),
    _rule([""], ["secrets"], _READ),
    _rule(["apps"], _WORKLOADS, _WRITE),
    _rule(["batch"], ["jobs", "cronjobs"], _WRITE),
    _rule(["autoscaling"], ["horizontalpodautoscalers"], _WRITE),
    _rule(["policy"], ["poddisruptionbudgets"], _WRITE),
    _rule(["networking.k8s.io"], ["ingresses", "networkpolicies"], _WRITE),
    _rule(["coordination.k8s.io"], ["leases"], [*_READ, *_WRITE]),
]
_CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [_rule(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "admin": [*_EDIT, _rule([_RBAC], ["roles", "rolebindings"], [*_READ, *_WRITE])],
    "edit": _EDIT,
    "view": _VIEW,
    "system:discovery": [
        {
            "nonResourceURLs": [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
            "verbs": ["get"],
        }
    ],
    "system:public-info-viewer": [
        {"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]}
    ],
    "system:basic-user": [
        _rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ],
}
_BINDINGS = {
    "cluster-admin": ("cluster-admin", ["system:masters"]),
    "system:discovery": ("system:discovery", ["system:authenticated"]),
    "system:basic-user": ("system:basic-user", ["system:authenticated"]),
    "system:public-info-viewer": ("system:public-info-viewer", ["system:authenticated", "system:unauthenticated"]),
}
_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nc2FuZGJveA==\n-----END CERTIFICATE-----\n"


def bootstrap(server: ApiServer) -> None:
    """Fill an empty server. New namespaces get their ServiceAccount and root CA from `provision_namespace`."""
    server.subscribe(
        "namespaces", lambda type_, new, _old: provision_namespace(server, new) if type_ == "ADDED" else None
    )
    for name in NAMESPACES:
        server.create("namespaces", None, {"metadata": {"name": name}}, user=SYSTEM)
    for name, value in _PRIORITIES.items():
        body: Object = {"metadata": {"name": name}, "value": value, "description": "Used for system critical pods."}
        server.create("priorityclasses.scheduling.k8s.io", None, body, user=SYSTEM)
    bootstrapping = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    for name, rules in _CLUSTER_ROLES.items():
        body = {"metadata": {"name": name, "labels": bootstrapping}, "rules": rules}
        server.create(f"clusterroles.{_RBAC}", None, body, user=SYSTEM)
    for name, (role, groups) in _BINDINGS.items():
        body = {
            "metadata": {"name": name, "labels": bootstrapping},
            "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": _RBAC},
            "subjects": [{"kind": "Group", "name": group, "apiGroup": _RBAC} for group in groups],
        }
        server.create(f"clusterrolebindings.{_RBAC}", None, body, user=SYSTEM)
    service: Object = {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
    }
    server.create("services", "default", service, user=SYSTEM)


def provision_namespace(server: ApiServer, namespace: Object) -> None:
    """The default ServiceAccount and the root certificates every namespace has."""
    name = namespace["metadata"]["name"]
    config: Object = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": _CERTIFICATE}}
    for table, body in (("configmaps", config), ("serviceaccounts", {"metadata": {"name": "default"}})):
        if server.get(table, name, body["metadata"]["name"]) is None:
            server.create(table, name, body, user=CONTROLLER)
