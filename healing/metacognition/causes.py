"""Which strategies help against which cause, and how likely: the table that candidates come from.

The numbers are how likely the strategy heals *if* the cause is right and nothing else is known; micro-agents move them
by what they find. Strategies are those of `healing.metacognition.strategies`. What restores a former state comes before
what makes up a value. A cause without an entry gets the actions that its finding suggests, then `GENERIC`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: (strategy, how likely it heals)
Fixes = tuple[tuple[str, float], ...]

_ROLLOUT: Fixes = (("rollback", 0.85), ("restore-references", 0.3), ("restart", 0.1))
_CONFIG: Fixes = (("restore-keys", 0.8), ("rollback", 0.7), ("restore-references", 0.65), ("restart", 0.05))
_IMAGE: Fixes = (("rollback", 0.85), ("restart", 0.05))
_PROBE: Fixes = (("restore-probe", 0.85), ("rollback", 0.8), ("fix-probe", 0.75), ("restart", 0.1))
_NODE: Fixes = (("move-pods", 0.75), ("drain", 0.6), ("delete-stuck-pods", 0.55), ("restart-on-node", 0.3))
#: Where a node is at fault its pods go elsewhere; where a workload is, new pods come up elsewhere or afresh.
_NETWORK: Fixes = (
    ("move-pods", 0.7),
    ("drain", 0.6),
    ("evict-pod", 0.6),
    ("restart-dependency", 0.5),
    ("restart", 0.45),
)
_PLACEMENT: Fixes = (("rollback", 0.8), ("restore-placement", 0.75))
#: An object beside the workload that was changed, made or deleted.
_OBJECT: Fixes = (("restore-object", 0.85), ("recreate-missing", 0.8))
_ADDRESS: Fixes = (
    ("restore-references", 0.7),
    ("rollback", 0.7),
    ("restore-values", 0.6),
    ("restore-object", 0.55),
)

FIXES: Mapping[str, Fixes] = MappingProxyType(
    {
        # rollouts and crashes
        "BadRollout": _ROLLOUT,
        "CommandNotFound": _ROLLOUT,
        "ContainerCannotStart": _ROLLOUT,
        "RolloutStuck": _ROLLOUT,
        "PermissionDenied": _ROLLOUT,
        "PortConflict": _ROLLOUT,
        "RolloutPaused": (("resume-rollout", 0.8), ("rollback", 0.1)),
        "ApplicationCrash": (("rollback", 0.55), ("restart", 0.4)),
        "InitContainerFailed": (("rollback", 0.5), ("restart", 0.3)),
        # configuration
        "MissingConfigMap": (
            ("recreate-missing", 0.8),
            ("restore-references", 0.7),
            ("rollback", 0.7),
            ("restart", 0.05),
        ),
        "MissingConfigMapKey": _CONFIG,
        "MissingSecret": (("rollback", 0.7), ("restore-references", 0.65), ("restart", 0.05)),
        "MissingSecretKey": (("rollback", 0.7), ("restore-references", 0.65), ("restart", 0.05)),
        "MissingServiceAccount": (("recreate-missing", 0.8), ("rollback", 0.75), ("restart", 0.05)),
        "MissingEnvironmentVariable": (
            ("restore-references", 0.7),
            ("rollback", 0.7),
            ("restore-keys", 0.6),
            ("restart", 0.05),
        ),
        "WrongConfiguration": (
            ("restore-values", 0.7),
            ("restore-references", 0.65),
            ("restore-object", 0.6),
            ("rollback", 0.65),
            ("restart", 0.1),
        ),
        "MissingFile": (
            ("rollback", 0.65),
            ("restore-object", 0.55),
            ("restore-keys", 0.5),
            ("restore-references", 0.5),
        ),
        "WrongCredentials": (("rollback", 0.5), ("restore-references", 0.5), ("restart", 0.2)),
        # images
        "ImageNotFound": _IMAGE,
        "ImagePullUnauthorized": _IMAGE,
        "RegistryUnreachable": _IMAGE,
        "InvalidImageName": _IMAGE,
        "ImagePullFailed": _IMAGE,
        # memory and CPU
        "MemoryLimitTooLow": (
            ("restore-resources", 0.8),
            ("raise-memory", 0.75),
            ("rollback", 0.6),
            ("restart", 0.05),
        ),
        "MemoryLeak": (("restart", 0.6), ("rollback", 0.45), ("raise-memory", 0.25)),
        "CPULimitTooLow": (("restore-resources", 0.8), ("raise-cpu", 0.7), ("rollback", 0.6), ("scale-out", 0.4)),
        "CPUHog": (("evict-pod", 0.6), ("restart", 0.6), ("rollback", 0.35), ("scale-out", 0.35)),
        "TrafficSpike": (("scale-out", 0.75), ("raise-cpu", 0.3)),
        "DiskFull": (("expand-volume", 0.65), ("restart", 0.4), ("evict-pod", 0.4)),
        # probes
        "LivenessProbeMisconfigured": _PROBE,
        "ReadinessProbeMisconfigured": _PROBE,
        "StartupProbeMisconfigured": _PROBE,
        "ApplicationNotReady": (("rollback", 0.5), ("restart", 0.45)),
        # scheduling, admission
        "InsufficientCPU": (("rollback", 0.7), ("restore-resources", 0.65), ("restore-replicas", 0.5)),
        "InsufficientMemory": (("rollback", 0.7), ("restore-resources", 0.65), ("restore-replicas", 0.5)),
        "NodeSelectorMismatch": _PLACEMENT,
        "NodeAffinityMismatch": _PLACEMENT,
        "PodAntiAffinityConflict": (("rollback", 0.7), ("restore-placement", 0.65), ("restore-replicas", 0.5)),
        "PodAffinityUnsatisfied": _PLACEMENT,
        "TopologySpreadUnsatisfied": _PLACEMENT,
        "UntoleratedTaint": _PLACEMENT,
        "HostPortConflict": (*_PLACEMENT, ("restore-replicas", 0.4)),
        "Unschedulable": (("rollback", 0.6), ("restore-placement", 0.5)),
        "NodeCordoned": (("uncordon", 0.7),),
        "QuotaExceeded": (
            ("restore-object", 0.8),
            ("rollback", 0.6),
            ("restore-resources", 0.6),
            ("restore-replicas", 0.5),
            ("raise-quota", 0.45),
        ),
        "LimitRangeViolation": (("restore-object", 0.8), ("rollback", 0.7), ("restore-resources", 0.65)),
        # network and services
        "ServiceSelectorMismatch": (("fix-selector", 0.9), ("restart", 0.02)),
        "ServicePortMismatch": (("restore-object", 0.85), ("fix-target-port", 0.85), ("rollback", 0.3)),
        "ServiceProtocolMismatch": (("restore-object", 0.85), ("fix-protocol", 0.85)),
        "ServiceWithoutEndpoints": (
            ("recreate-missing", 0.75),
            ("restore-object", 0.7),
            ("restore-replicas", 0.4),
            ("rollback", 0.3),
        ),
        "ServiceMissing": (("recreate-missing", 0.85), *_ADDRESS[:2]),
        "NetworkPolicyBlocking": _OBJECT,
        "NetworkDelay": _NETWORK,
        "PacketLoss": _NETWORK,
        "IngressBackendMissing": _OBJECT,
        "RouteBackendMissing": _OBJECT,
        "DNSFailure": (("restore-object", 0.75), ("restart-dependency", 0.45)),
        # dependencies
        "DependencyUnavailable": (
            ("rollback-dependency", 0.5),
            ("restart-dependency", 0.5),
        ),
        "SlowDependency": (
            ("restart-dependency", 0.6),
            ("rollback-dependency", 0.4),
            ("scale-out-dependency", 0.35),
        ),
        "FailingDependency": (("rollback-dependency", 0.55), ("restart-dependency", 0.5)),
        "FaultyPod": (("evict-pod", 0.8), ("restart", 0.45)),
        "ConnectionPoolExhausted": (("restart", 0.6), ("restart-dependency", 0.4)),
        "WrongDependencyAddress": _ADDRESS,
        "WrongDependencyPort": _ADDRESS,
        # nodes
        "NodeNotReady": _NODE,
        "NodeMemoryPressure": _NODE,
        "NodeDiskPressure": _NODE,
        "NodePIDPressure": _NODE,
        "NodeNetworkUnavailable": _NODE,
        "FaultyNode": _NODE,
        "ContainerRuntimeDown": _NODE,
        "ClockSkew": _NODE,
        "KubeProxyDown": (("drain", 0.7), ("move-pods", 0.65)),
        # scaling
        "ScaledToZero": (("restore-replicas", 0.8), ("restore-object", 0.6)),
        "AutoscalerMisconfigured": _OBJECT,
        "AutoscalerAtMaximum": (("restore-object", 0.75),),
        "DisruptionBudgetBlocksEviction": (("restore-object", 0.75),),
        # volumes
        "PersistentVolumeClaimNotFound": (("rollback", 0.7), ("recreate-missing", 0.5)),
        # Whatever is done to a claim, a person decides it.
        "VolumeAlreadyClaimed": (("rebind-volume", 0.7), ("rollback", 0.3)),
        "StorageClassNotFound": (("rebind-volume", 0.65), ("rollback", 0.3)),
        "NoDefaultStorageClass": (("rebind-volume", 0.6), ("rollback", 0.3)),
        "VolumeSelectorMismatch": (("restore-object", 0.6), ("rollback", 0.3)),
        "PodsUnavailable": (("restart", 0.4), ("rollback", 0.4)),
    }
)

#: Strategies behind an action's name, for causes that are not in the table.
STRATEGIES_OF_ACTION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rollback": ("rollback",),
        "restart": ("restart",),
        "evict": ("evict-pod", "move-pods"),
        "scale": ("restore-replicas", "scale-out"),
        "updateResources": ("restore-resources", "raise-memory", "raise-cpu"),
        "updateConfig": ("restore-keys", "restore-references"),
        "fixServiceSelector": ("fix-selector", "fix-target-port"),
        "restartDependency": ("restart-dependency",),
        "resumeRollout": ("resume-rollout",),
        "uncordon": ("uncordon",),
        "restoreObject": ("restore-object",),
        "recreateMissing": ("recreate-missing",),
        "fixServicePort": ("fix-target-port", "fix-protocol"),
        "fixProbe": ("restore-probe", "fix-probe"),
        "fixScheduling": ("restore-placement",),
        "raiseQuota": ("raise-quota",),
        "expandVolume": ("expand-volume",),
        "rebindVolume": ("rebind-volume",),
        "deleteStuckPod": ("delete-stuck-pods",),
        "drain": ("drain",),
    }
)
_SUGGESTED = (0.65, 0.5, 0.4, 0.3)

#: Where nobody knows better: the table does not have the cause.
GENERIC: Fixes = (("rollback", 0.3), ("restart", 0.2), ("evict-pod", 0.15))
#: Where not even the cause is known: what an engineer would do first, taking back what changed last before all else.
#: How likely each heals *without* knowing the cause, so that no doubt about the cause makes it less.
UNKNOWN: Fixes = (("rollback", 0.4), ("restart", 0.35), ("evict-pod", 0.3), ("restore-replicas", 0.2))
#: Strategies that fit a state rather than a cause; where the state is another, they drop out by themselves.
ALWAYS: Fixes = (("resume-rollout", 0.45),)


def fixes_for(cause: str, suggested_actions: tuple[str, ...], *, is_own: bool = False, is_known: bool = True) -> Fixes:
    """The table's entry, then what the finding suggests, then what may always be tried; each strategy once.

    ``is_own``: the event's target is itself the dependency that others suffer from. Not ``is_known``: the diagnosis
    has found no cause."""
    found: dict[str, float] = {}
    if not is_known:
        return (*UNKNOWN, *ALWAYS)
    for strategy, likely in FIXES.get(cause, ()):
        key = strategy.removesuffix("-dependency") if is_own else strategy
        found[key] = max(likely, found.get(key, 0.0))
    for action, likely in zip(suggested_actions, _SUGGESTED, strict=False):
        for strategy in STRATEGIES_OF_ACTION.get(action, ()):
            if cause not in FIXES:
                found.setdefault(strategy, likely)
    if cause not in FIXES:
        for strategy, likely in GENERIC:
            found.setdefault(strategy, likely)
    for strategy, likely in ALWAYS:
        found.setdefault(strategy, likely)
    return tuple(found.items())
