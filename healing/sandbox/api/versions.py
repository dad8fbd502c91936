"""Which Kubernetes the server speaks as, and the facts that tell the minor versions apart: all of them are here.

Where they are from: the API's published schemas of 1.26 to 1.37 (which field appeared when; a test compares them) and
the feature gates of Kubernetes (which is on by default since when). What is not here is as in the recordings, of 1.36.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

OLDEST_MINOR, NEWEST_MINOR = 26, 37
#: of the recordings
RECORDED_MINOR = 36
#: patch releases other than 0
_PATCHES = {RECORDED_MINOR: 2}
#: minor version -> the Go it is built with from then on
_GO = {26: "1.19", 27: "1.20", 29: "1.21", 30: "1.22", 32: "1.23", 33: "1.24", 35: "1.25", 36: "1.26"}

Span = tuple[int, int]

#: what a server does by default: in which minor versions (first, last)
FEATURES: Mapping[str, tuple[Span, ...]] = {
    # discovery of all groups in one document; before, and for the form that is gone, clients get the plain lists
    "apidiscovery.k8s.io/v2beta1": ((27, 32),),
    "apidiscovery.k8s.io/v2": ((30, NEWEST_MINOR),),
    # watches that begin with what there is; sendInitialEvents is refused where it is known and off
    "sendInitialEvents": ((27, NEWEST_MINOR),),
    "WatchList": ((32, 32), (34, NEWEST_MINOR)),
    # emulationMajor ... minCompatibilityMinor in /version
    "emulation version": ((33, NEWEST_MINOR),),
    "generation of pods": ((33, NEWEST_MINOR),),
    # the waiting message of ImagePullBackOff says why; before, only the events of the pull do
    "pull error in back-off": ((32, NEWEST_MINOR),),
    # Complete and Failed come when the last pod has stopped; before, as soon as it is decided
    "Jobs end after their pods": ((31, NEWEST_MINOR),),
}

#: resources and subresources that came later than their group: since when they are served by default
SERVED: Mapping[str, int] = {
    "pods/resize": 33,
    "selfsubjectreviews.v1.authentication.k8s.io": 28,
}

#: Minor version whose schema has the fields first (26: or earlier), type, fields. ``field:N``: what is written there is
#: dropped without a word until 1.N, because the feature is off by default.
_FIELDS = """
26 V1PodSpec hostUsers:33 schedulingGates:27
26 V1TopologySpreadConstraint matchLabelKeys:27
26 V1StatefulSetSpec ordinals:27 persistentVolumeClaimRetentionPolicy:27
26 V1RollingUpdateStatefulSetStrategy maxUnavailable:35
26 V1PodDisruptionBudgetSpec unhealthyPodEvictionPolicy:27
27 V1Container resizePolicy:33
27 V1EphemeralContainer resizePolicy:33
27 V1ContainerStatus allocatedResources:36 resources:33
27 V1PodStatus resize:33
27 V1MutatingWebhook matchConditions:28
27 V1ValidatingWebhook matchConditions:28
28 V1Container restartPolicy:29
28 V1EphemeralContainer restartPolicy:29
28 V1JobSpec backoffLimitPerIndex:29 maxFailedIndexes:29 podReplacementPolicy:29
28 V1JobStatus failedIndexes:29 terminating:29
26 V1PersistentVolumeClaimStatus allocatedResources:32
28 V1PersistentVolumeClaimStatus allocatedResourceStatuses:32
28 V1PersistentVolumeStatus lastPhaseTransitionTime:29
28 V1PodStatus hostIPs:29 resourceClaimStatuses:34
29 V1LifecycleHandler sleep:30
29 V1LoadBalancerIngress ipMode:30
29 V1PersistentVolumeClaimSpec volumeAttributesClassName:34
29 V1PersistentVolumeClaimStatus currentVolumeAttributesClassName:34 modifyVolumeStatus:34
29 V1PersistentVolumeSpec volumeAttributesClassName:34
29 V1PodAffinityTerm matchLabelKeys:31 mismatchLabelKeys:31
29 V1VolumeProjection clusterTrustBundle
30 V1ContainerStatus volumeMounts:31
30 V1CustomResourceDefinitionVersion selectableFields:31
30 V1JobSpec managedBy:32 successPolicy:31
30 V1NodeStatus runtimeHandlers
30 V1PodSecurityContext appArmorProfile
30 V1SecurityContext appArmorProfile
30 V1ServiceSpec trafficDistribution:31
30 V1VolumeMount recursiveReadOnly:31
31 CoreV1ResourceClaim request
31 V1ContainerStatus allocatedResourcesStatus user:33
31 V1LeaseSpec preferredHolder strategy
31 V1NodeRuntimeHandlerFeatures userNamespaces
31 V1NodeStatus features:33
31 V1PodResourceClaim resourceClaimName resourceClaimTemplateName
31 V1PodSecurityContext supplementalGroupsPolicy:33
31 V1ResourceAttributes fieldSelector:32 labelSelector:32
31 V1Volume image:35
32 V1PodSecurityContext seLinuxChangePolicy:33
32 V1PodSpec resources:34
33 V1ContainerStatus stopSignal
33 V1DeploymentStatus terminatingReplicas:35
33 V1EndpointHints forNodes:34
33 V1Lifecycle stopSignal
33 V1NodeSystemInfo swap
33 V1PodCondition observedGeneration:34
33 V1PodStatus observedGeneration:34
33 V1ReplicaSetStatus terminatingReplicas:35
33 V1VolumeError errorCode
33 V2HPAScalingRules tolerance:35
34 V1Container restartPolicyRules:35
34 V1EnvVarSource fileKeyRef:35
34 V1EphemeralContainer restartPolicyRules:35
34 V1PodSpec hostnameOverride:35
34 V1PodStatus extendedResourceClaimStatus
34 V1VolumeProjection podCertificate
35 V1CustomResourceDefinitionCondition observedGeneration
35 V1CustomResourceDefinitionStatus observedGeneration
35 V1NodeStatus declaredFeatures
35 V1PodCertificateProjection userAnnotations
35 V1PodStatus allocatedResources:36 resources:36
36 V1PodSpec schedulingGroup
36 V1PodStatus nodeAllocatableResourceClaimStatuses
36 V1ResourceHealth message
36 V1VolumeMountStatus volumeStatus
37 V1CSINode status
37 V1ClusterTrustBundleProjection user
37 V1ConfigMapVolumeSource defaultUser
37 V1DownwardAPIVolumeFile user
37 V1DownwardAPIVolumeSource defaultUser
37 V1EmptyDirVolumeSource mode
37 V1GRPCAction mode
37 V1HTTPGetAction protocol
37 V1JobSpec scheduling
37 V1KeyToPath user
37 V1NodeAllocatableResourceClaimStatus mapping overhead
37 V1NodeSpec podPreemptionPolicy
37 V1NodeSystemInfo runningInUserNamespace
37 V1PersistentVolumeClaimStatus healthStatus
37 V1PodCertificateProjection user
37 V1PodSpec evictionResponders
37 V1PodStatus volumeHealth
37 V1ProjectedVolumeSource defaultUser
37 V1SecretVolumeSource defaultUser
37 V1ServiceAccountTokenProjection user
37 V1VolumeMount bindMountOptions
37 V2HorizontalPodAutoscalerCondition observedGeneration
"""

#: conditions that controllers and kubelets write only since: type of the entry, its ``type``, its ``reason`` or any
_CONDITIONS: tuple[tuple[str, str, str, int], ...] = (
    ("V1PodCondition", "PodReadyToStartContainers", "", 29),
    # Before, these two were written for what a policy of the Job decided only.
    ("V1JobCondition", "SuccessCriteriaMet", "CompletionsReached", 31),
    ("V1JobCondition", "FailureTarget", "BackoffLimitExceeded", 31),
    ("V1JobCondition", "FailureTarget", "DeadlineExceeded", 31),
)

#: labels that controllers and the server write only since; what stood in their place in selectors
_LABELS: Mapping[str, tuple[int, str]] = {
    "batch.kubernetes.io/controller-uid": (27, "controller-uid"),
    "batch.kubernetes.io/job-name": (27, "job-name"),
    "apps.kubernetes.io/pod-index": (28, ""),
    "batch.kubernetes.io/job-completion-index": (28, ""),
}

_SPOKEN = re.compile(r"v?1\.(\d{1,3})(?:\.\d+)?")
Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class KubernetesVersion:
    """A minor version of Kubernetes 1; `of` reads one."""

    minor: int = RECORDED_MINOR

    @classmethod
    def of(cls, text: str) -> KubernetesVersion:
        """``1.29``, ``v1.29`` or ``1.29.4`` (the patch release is not kept). `ValueError` for one that is not known."""
        found = _SPOKEN.fullmatch(text.strip())
        if found is None or not OLDEST_MINOR <= int(found[1]) <= NEWEST_MINOR:
            raise ValueError(f"It must be one of 1.{OLDEST_MINOR} to 1.{NEWEST_MINOR}, not {text!r}.")
        return cls(int(found[1]))

    def __str__(self) -> str:
        return f"1.{self.minor}"

    @property
    def git_version(self) -> str:
        return f"v1.{self.minor}.{_PATCHES.get(self.minor, 0)}"

    @property
    def go_version(self) -> str:
        return f"go{_GO[max(minor for minor in _GO if minor <= self.minor)]}"

    def has(self, feature: str) -> bool:
        """Whether a server of this version does what `FEATURES` calls so, by default."""
        return any(first <= self.minor <= last for first, last in FEATURES[feature])

    def serves(self, resource: str) -> bool:
        """``pods/resize``, or a resource in its version (``selfsubjectreviews.v1.authentication.k8s.io``)."""
        return self.minor >= SERVED.get(resource, OLDEST_MINOR)

    @property
    def unknown_fields(self) -> frozenset[Field]:
        """(type, field) that this version's API does not have: clients are warned of them, or refused if strict."""
        return _unknown(self.minor)

    @property
    def unkept_fields(self) -> frozenset[Field]:
        """(type, field) that are not stored: those the API does not have, and those of features that are off.

        What came after the recordings is written by nobody here, and clients' fields are checked before."""
        return _unkept(self.minor)

    def writes_condition(self, model: str, entry: Mapping[str, object]) -> bool:
        """Whether controllers of this version write such an entry of ``conditions``."""
        for known, type_, reason, since in _CONDITIONS:
            named = known == model and entry.get("type") == type_ and reason in ("", entry.get("reason"))
            if named and self.minor < since:
                return False
        return True

    @property
    def models_with_later_conditions(self) -> frozenset[str]:
        return frozenset(model for model, _, _, since in _CONDITIONS if self.minor < since)

    @property
    def later_labels(self) -> dict[str, str]:
        """Labels that this version does not write; for each what a selector has instead (empty: nothing)."""
        return {label: before for label, (since, before) in _LABELS.items() if self.minor < since}


@functools.cache
def _rows() -> tuple[tuple[str, str, int, int], ...]:
    """(type, field, in the schema since, kept by default since)."""
    rows = []
    for line in _FIELDS.strip().splitlines():
        since, model, *fields = line.split()
        for field in fields:
            name, _, kept = field.partition(":")
            rows.append((model, name, int(since), int(kept or since)))
    return tuple(rows)


@functools.cache
def _unknown(minor: int) -> frozenset[Field]:
    return frozenset((model, field) for model, field, since, _ in _rows() if minor < since)


@functools.cache
def _unkept(minor: int) -> frozenset[Field]:
    return frozenset(
        (model, field) for model, field, since, kept in _rows() if minor < kept and since <= RECORDED_MINOR
    )
