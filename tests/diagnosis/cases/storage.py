"""Claims, volumes, disks."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.cases import case
from tests.diagnosis.world import World, ago, container, waiting

_MOUNT = [{"name": "data", "mountPath": "/var/lib/data"}]
_PENDING = (
    "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/2 nodes are available."
)


def claim(world: World, name: str = "data", *, phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    made = world.add("PersistentVolumeClaim", name, spec={**base, **spec}, status={"phase": phase})
    made["metadata"]["creationTimestamp"] = ago(400)
    return made


def volume(world: World, name: str, *, size: str = "10Gi", **spec: Any) -> None:
    base = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "persistentVolumeReclaimPolicy": "Retain"}
    labels = spec.pop("labels", {})
    phase = "Bound" if "claimRef" in spec else "Available"
    world.add("PersistentVolume", name, "", spec={**base, **spec}, status={"phase": phase}, metadata={"labels": labels})


def user(world: World, name: str = "ledger", message: str = _PENDING, claim_name: str = "data") -> None:
    spec = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]}
    world.deployment(
        name, [container(volumeMounts=_MOUNT)], failing=waiting("ContainerCreating"), replicas=1, spec=spec
    )
    unscheduled(world, name, message)


def unscheduled(world: World, name: str, message: str) -> None:
    for pod in world.pods(name):
        pod["spec"].pop("nodeName", None)
        pod["status"] = {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}],
        }
        world.event(pod, "FailedScheduling", message)


@case("VolumeAccessModeMismatch", "PersistentVolumeClaim", "data")
def claim_wants_many_writers(world: World) -> None:
    made = claim(world, accessModes=["ReadWriteMany"], storageClassName="manual")
    volume(world, "disk-1", storageClassName="manual")
    world.event(
        made,
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
        kind="Normal",
    )
    user(world)


@case("VolumeAccessModeMismatch", "PersistentVolumeClaim", "data")
def provisioner_refuses_many_writers(world: World) -> None:
    world.add("StorageClass", "local-path", "", provisioner="rancher.io/local-path")
    made = claim(world, accessModes=["ReadWriteMany"], storageClassName="local-path")
    said = 'failed to provision volume with StorageClass "local-path": NodePath only supports ReadWriteOnce and'
    world.event(made, "ProvisioningFailed", f"{said} ReadWriteOncePod (1.22+) access modes")
    user(world)


@case("VolumeSizeMismatch", "PersistentVolumeClaim", "data")
def volume_is_too_small(world: World) -> None:
    claim(world, storageClassName="manual", resources={"requests": {"storage": "500Gi"}})
    volume(world, "disk-1", size="100Gi", storageClassName="manual")
    volume(world, "disk-2", size="50Gi", storageClassName="manual")
    user(world, message="0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.")


@case("VolumeSizeMismatch", "PersistentVolumeClaim", "data")
def named_volume_is_too_small(world: World) -> None:
    made = claim(world, storageClassName="", volumeName="disk-1", resources={"requests": {"storage": "20Gi"}})
    volume(world, "disk-1", size="10Gi")
    world.event(made, "VolumeMismatch", 'Cannot bind to requested volume "disk-1": requested PV is too small')
    user(world)


@case("VolumeSelectorMismatch", "PersistentVolumeClaim", "data")
def claim_selects_labels_no_volume_has(world: World) -> None:
    claim(world, storageClassName="manual", selector={"matchLabels": {"tier": "gold"}})
    volume(world, "disk-1", storageClassName="manual", labels={"tier": "silver"})
    user(world)


@case("VolumeAlreadyClaimed", "PersistentVolumeClaim", "data")
def volume_belongs_to_another_claim(world: World) -> None:
    claim(world, storageClassName="manual", volumeName="disk-1")
    claim(world, "old-data", phase="Bound", storageClassName="manual", volumeName="disk-1")
    volume(world, "disk-1", storageClassName="manual", claimRef={"namespace": "shop", "name": "old-data", "uid": "u"})
    user(world)


@case("VolumeAlreadyClaimed", "PersistentVolumeClaim", "data")
def volume_is_released_but_not_free(world: World) -> None:
    claim(world, storageClassName="manual")
    volume(world, "disk-1", storageClassName="manual", claimRef={"namespace": "shop", "name": "data", "uid": "another"})
    world.snapshot.of_kind("PersistentVolume")[0]["status"]["phase"] = "Released"
    user(world)


@case("StorageClassNotFound", "PersistentVolumeClaim", "data")
def class_does_not_exist(world: World) -> None:
    world.add("StorageClass", "standard", "", provisioner="ebs.csi.aws.com")
    made = claim(world, storageClassName="standart")
    world.event(made, "ProvisioningFailed", 'storageclass.storage.k8s.io "standart" not found')
    user(world)


@case("VolumeNodeAffinityConflict", "Deployment", "ledger")
def volume_is_in_another_zone(world: World) -> None:
    claim(world, phase="Bound", volumeName="disk-1", storageClassName="zonal")
    world.add("StorageClass", "zonal", "", provisioner="ebs.csi.aws.com")
    user(world, message="0/3 nodes are available: 3 node(s) had volume node"
" affinity conflict. preemption: 0/3 nodes are"
         " available: 3 Preemption is not helpful for scheduling.")  # fmt: skip


@case("PersistentVolumeClaimNotFound", "Deployment", "ledger")
def claim_does_not_exist(world: World) -> None:
    claim(world, "ledger-data", phase="Bound")
    user(
        world, message='0/2 nodes are available: persistentvolumeclaim "ledgerdata" not found.', claim_name="ledgerdata"
    )


@case("VolumeMountFailed", "Deployment", "ledger")
def volume_is_attached_elsewhere(world: World) -> None:
    claim(world, phase="Bound", volumeName="disk-1")
    spec = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    world.deployment(
        "ledger", [container(volumeMounts=_MOUNT)], failing=waiting("ContainerCreating"), replicas=1, spec=spec
    )
    pod = world.pods("ledger")[0]
    pod["status"]["phase"] = "Pending"
    said = 'Multi-Attach error for volume "pvc-0e2" Volume is already exclusively attached to one node and can\'t be'
    world.event(pod, "FailedAttachVolume", f"{said} attached to another")


@case("DiskFull", "Deployment", "ledger")
def database_has_no_space_left(world: World) -> None:
    world.deployment("ledger", replicas=1)
    line = '2026-05-04T09:59:5{} ERROR could not extend file "base/16384/16450": No space left on device'
    world.log(world.pods("ledger")[0], "\n".join(line.format(f"{n}Z") for n in range(9)))


@case("DiskFull", "Deployment", "thumbnails")
def scratch_space_over_its_limit(world: World) -> None:
    world.deployment("thumbnails", replicas=1)
    pod = world.pods("thumbnails")[0]
    gone = {**pod, "metadata": {**pod["metadata"], "name": "thumbnails-r1-9", "uid": "gone"}}
    gone["status"] = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": 'Usage of EmptyDir volume "scratch" exceeds the limit "100Mi". ',
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": ago(120)}],
    }
    world.snapshot.add(gone)
