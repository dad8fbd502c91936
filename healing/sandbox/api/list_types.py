"""How lists and maps of built-in types merge; the markers of Kubernetes' API types, as data.

Keys are (client model, JSON field); ``*`` stands for every model. What is in no table is atomic.
"""

from __future__ import annotations

#: server-side apply: keys of list items; () is a set of scalars
LIST_TYPES: dict[tuple[str, str], tuple[str, ...]] = {
    ("V1ObjectMeta", "finalizers"): (),
    ("V1ObjectMeta", "ownerReferences"): ("uid",),
    ("V1PodSpec", "containers"): ("name",),
    ("V1PodSpec", "initContainers"): ("name",),
    ("V1PodSpec", "ephemeralContainers"): ("name",),
    ("V1PodSpec", "volumes"): ("name",),
    ("V1PodSpec", "imagePullSecrets"): ("name",),
    ("V1PodSpec", "hostAliases"): ("ip",),
    ("V1PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("V1PodSpec", "schedulingGates"): ("name",),
    ("V1PodSpec", "resourceClaims"): ("name",),
    ("V1PodStatus", "podIPs"): ("ip",),
    ("V1Container", "ports"): ("containerPort", "protocol"),
    ("V1Container", "env"): ("name",),
    ("V1Container", "volumeMounts"): ("mountPath",),
    ("V1Container", "volumeDevices"): ("devicePath",),
    ("V1EphemeralContainer", "ports"): ("containerPort", "protocol"),
    ("V1EphemeralContainer", "env"): ("name",),
    ("V1EphemeralContainer", "volumeMounts"): ("mountPath",),
    ("V1ResourceRequirements", "claims"): ("name",),
    ("V1ServiceSpec", "ports"): ("port", "protocol"),
    ("V1ServiceAccount", "secrets"): ("name",),
    ("V1NodeStatus", "addresses"): ("type",),
    ("V1NodeSpec", "podCIDRs"): (),
    ("V1Endpoint", "addresses"): (),
    **{
        (model, "conditions"): ("type",)
        for model in (
            "V1PodStatus V1NodeStatus V1NamespaceStatus V1DeploymentStatus V1ReplicaSetStatus V1StatefulSetStatus "
            "V1DaemonSetStatus V1ServiceStatus V1PodDisruptionBudgetStatus V1PersistentVolumeClaimStatus "
            "V2HorizontalPodAutoscalerStatus V1CustomResourceDefinitionStatus V1ReplicationControllerStatus"
        ).split()
    },
}

#: strategic merge: the key joining list items; "" merges a list of scalars
PATCH_KEYS: dict[tuple[str, str], str] = {
    ("V1ObjectMeta", "finalizers"): "",
    ("V1ObjectMeta", "ownerReferences"): "uid",
    ("V1PodSpec", "containers"): "name",
    ("V1PodSpec", "initContainers"): "name",
    ("V1PodSpec", "ephemeralContainers"): "name",
    ("V1PodSpec", "volumes"): "name",
    ("V1PodSpec", "imagePullSecrets"): "name",
    ("V1PodSpec", "hostAliases"): "ip",
    ("V1PodSpec", "topologySpreadConstraints"): "topologyKey",
    ("V1PodSpec", "schedulingGates"): "name",
    ("V1PodSpec", "resourceClaims"): "name",
    ("V1PodStatus", "podIPs"): "ip",
    ("V1PodStatus", "hostIPs"): "ip",
    ("V1Container", "ports"): "containerPort",
    ("V1Container", "env"): "name",
    ("V1Container", "volumeMounts"): "mountPath",
    ("V1Container", "volumeDevices"): "devicePath",
    ("V1EphemeralContainer", "ports"): "containerPort",
    ("V1EphemeralContainer", "env"): "name",
    ("V1EphemeralContainer", "volumeMounts"): "mountPath",
    ("V1ServiceSpec", "ports"): "port",
    ("V1ServiceAccount", "secrets"): "name",
    ("V1ServiceAccount", "imagePullSecrets"): "name",
    ("V1NodeStatus", "addresses"): "type",
    ("V1NodeSpec", "podCIDRs"): "",
    ("*", "conditions"): "type",
}

#: strategic merge: only the fields named in $retainKeys stay
RETAIN_KEYS = frozenset({("V1DeploymentSpec", "strategy"), ("V1PodSpec", "volumes"), ("V1PodSpec", "resourceClaims")})

ATOMIC_MAPS = frozenset(
    {("V1PodSpec", "nodeSelector"), ("V1ServiceSpec", "selector"), ("V1ReplicationControllerSpec", "selector")}
)

ATOMIC_STRUCTS = frozenset(
    "V1LabelSelector V1ConfigMapKeySelector V1SecretKeySelector V1ObjectFieldSelector V1ResourceFieldSelector "
    "V1LocalObjectReference V1TypedLocalObjectReference V1ObjectReference V1NodeSelector V1NodeSelectorTerm "
    "V1ScopeSelector V1ScopedResourceSelectorRequirement V1TopologySelectorTerm RbacV1Subject V1RoleRef "
    "V1OwnerReference V1SecretReference V1FileKeySelector".split()
)
