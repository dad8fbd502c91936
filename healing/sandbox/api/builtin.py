"""The table of built-in resources, as a Kubernetes 1.36 serves them; `versions` says which came later than others."""

from __future__ import annotations

from healing.sandbox.api.registry import ALL_VERBS, Registry, ResourceType, Subresource
from healing.sandbox.api.versions import KubernetesVersion

_RW = ("get", "patch", "update")
_CREATE = ("create",)
_SCALE = Subresource("scale", _RW, "Scale", "autoscaling", "v1")

#: group/version of each line: plural, kind, n(amespaced)/c(luster), short names, categories, flags, hash.
#: Flags: s = status subresource, r = scale subresource, g = generation, x = not stored (create only).
_TABLE = """
v1
  bindings                Binding               n -     -   x  -
  configmaps              ConfigMap             n cm    -   -  qFsyl6wFWjQ=
  endpoints               Endpoints             n ep    -   -  fWeeMqaN/OA=
  events                  Event                 n ev    -   -  r2yiGXH7wu8=
  limitranges             LimitRange            n limits -  -  EBKMFVe6cwo=
  namespaces              Namespace             c ns    -   s  Q3oi5N2YM8M=
  nodes                   Node                  c no    -   s  XwShjMxG9Fs=
  persistentvolumeclaims  PersistentVolumeClaim n pvc   -   s  QWTyNDq0dC4=
  persistentvolumes       PersistentVolume      c pv    -   s  HN/zwEC+JgM=
  pods                    Pod                   n po    all sg xPOwRZ+Yhw8=
  podtemplates            PodTemplate           n -     -   -  LIXB2x4IFpk=
  replicationcontrollers  ReplicationController n rc    all srg Jond2If31h0=
  resourcequotas          ResourceQuota         n quota -   s  8uhSgffRX6w=
  secrets                 Secret                n -     -   -  S6u1pOWzb84=
  serviceaccounts         ServiceAccount        n sa    -   -  pbx9ZvyFpBE=
  services                Service               n svc   all s  0/CO1lhkEBI=
apps/v1
  controllerrevisions     ControllerRevision    n -     -   -  85nkx63pcBU=
  daemonsets              DaemonSet             n ds    all sg dd7pWHUlMKQ=
  deployments             Deployment            n deploy all srg 8aSe+NMegvE=
  replicasets             ReplicaSet            n rs    all srg P1RzHs8/mWQ=
  statefulsets            StatefulSet           n sts   all srg H+vl74LkKdo=
events.k8s.io/v1
  events                  Event                 n ev    -   -  r2yiGXH7wu8=
authentication.k8s.io/v1
  selfsubjectreviews      SelfSubjectReview     c -     -   x  -
  tokenreviews            TokenReview           c -     -   x  -
authorization.k8s.io/v1
  localsubjectaccessreviews LocalSubjectAccessReview n - - x -
  selfsubjectaccessreviews SelfSubjectAccessReview c -   -   x  -
  selfsubjectrulesreviews SelfSubjectRulesReview c -    -   x  -
  subjectaccessreviews    SubjectAccessReview   c -     -   x  -
autoscaling/v2
  horizontalpodautoscalers HorizontalPodAutoscaler n hpa all s qwQve8ut294=
autoscaling/v1
  horizontalpodautoscalers HorizontalPodAutoscaler n hpa all s qwQve8ut294=
batch/v1
  cronjobs                CronJob               n cj    all sg sd5LIXh4Fjs=
  jobs                    Job                   n -     all sg mudhfqk/qZY=
networking.k8s.io/v1
  ingressclasses          IngressClass          c -     -   g  l/iqIbDgFyQ=
  ingresses               Ingress               n ing   -   sg 39NQlfNR+bo=
  networkpolicies         NetworkPolicy         n netpol -  g  YpfwF18m1G8=
policy/v1
  poddisruptionbudgets    PodDisruptionBudget   n pdb   -   sg EVWiDmWqyJw=
rbac.authorization.k8s.io/v1
  clusterrolebindings     ClusterRoleBinding    c -     -   -  48tpQ8gZHFc=
  clusterroles            ClusterRole           c -     -   -  bYE5ZWDrJ44=
  rolebindings            RoleBinding           n -     -   -  eGsCzGH6b1g=
  roles                   Role                  n -     -   -  7FuwZcIIItM=
storage.k8s.io/v1
  storageclasses          StorageClass          c sc    -   -  K+m6uJwbjGY=
  csinodes                CSINode               c -     -   -  Pe62DkZtjuo=
  volumeattachments       VolumeAttachment      c -     -   s  tJx/ezt6UDU=
admissionregistration.k8s.io/v1
  mutatingwebhookconfigurations MutatingWebhookConfiguration c - api-extensions g Sqi0GUgDaX0=
  validatingwebhookconfigurations ValidatingWebhookConfiguration c - api-extensions g B0wHjQmsGNk=
apiextensions.k8s.io/v1
  customresourcedefinitions CustomResourceDefinition c crd,crds api-extensions sg jfWCUB31mvA=
scheduling.k8s.io/v1
  priorityclasses         PriorityClass         c pc    -   g  1QwjyaZjj3Y=
coordination.k8s.io/v1
  leases                  Lease                 n -     -   -  gqkMMb/YqFM=
discovery.k8s.io/v1
  endpointslices          EndpointSlice         n -     -   g  qgS0xkrxYAI=
"""

_EXTRA = {
    "pods": (
        Subresource("binding", _CREATE, "Binding"),
        Subresource("eviction", _CREATE, "Eviction", "policy", "v1"),
        Subresource("log", ("get",), "Pod"),
        Subresource("resize", _RW, "Pod"),
    ),
    "namespaces": (Subresource("finalize", ("update",), "Namespace"),),
    "serviceaccounts": (Subresource("token", _CREATE, "TokenRequest", "authentication.k8s.io", "v1"),),
}

#: kinds whose model class is not simply "V1" + kind
_MODELS = {
    ("", "Event"): "CoreV1Event",
    ("events.k8s.io", "Event"): "EventsV1Event",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "V2HorizontalPodAutoscaler",
}

#: two API groups, one table
_SHARED_STORAGE = {("events.k8s.io", "events"): "events"}

_NAMESPACE_VERBS = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")


def _split(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _resource(group: str, version: str, line: str, kubernetes: KubernetesVersion) -> ResourceType:
    plural, kind, scope, short, categories, flags, version_hash = line.split()
    subresources = list(_EXTRA.get(plural, ()) if not group else ())
    if "s" in flags:
        subresources.append(Subresource("status", _RW, kind))
    if "r" in flags:
        subresources.append(_SCALE)
    served = (item for item in subresources if kubernetes.serves(f"{plural}/{item.name}"))
    stored = "x" not in flags
    storage = _SHARED_STORAGE.get((group, plural), f"{plural}.{group}" if group else plural)
    verbs = ALL_VERBS if stored else _CREATE
    return ResourceType(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        singular="endpoints" if kind == "Endpoints" else kind.lower(),
        namespaced=scope == "n",
        short_names=_split(short),
        categories=_split(categories),
        subresources=tuple(sorted(served, key=lambda item: item.name)),
        verbs=_NAMESPACE_VERBS if plural == "namespaces" else verbs,
        model=_MODELS.get((group, kind)) or _MODELS.get((f"{group}/{version}", kind)) or f"V1{kind}",
        storage=storage if stored else "",
        list_kind=f"{kind}List",
        has_generation="g" in flags and (plural != "pods" or kubernetes.has("generation of pods")),
        storage_version_hash="" if version_hash == "-" else version_hash,
    )


def register_builtin(registry: Registry, kubernetes: KubernetesVersion) -> None:
    """Add every built-in resource that this version serves to ``registry``."""
    group = version = ""
    for line in _TABLE.strip().splitlines():
        if not line.startswith(" "):
            group, _, version = line.strip().rpartition("/")
            continue
        if kubernetes.serves(f"{line.split()[0]}.{version}.{group}"):
            registry.add(_resource(group, version, line, kubernetes))
