"""Claims, volumes and the pods that wait for them."""

from __future__ import annotations

import pytest

from healing.sandbox.ports import ApiError, Object
from healing.sandbox.world import NodeSpec
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab

CLASSES = "storageclasses.storage.k8s.io"
ZONE = "topology.kubernetes.io/zone"
ZONES = [NodeSpec("node1", labels={ZONE: "a"}), NodeSpec("node2", labels={ZONE: "b"})]


def volume(name: str = "disk", size: str = "10Gi", **spec: object) -> Object:
    return {"metadata": {"name": name, "labels": {"disk": name}}, "spec": {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
        "hostPath": {"path": "/data"}, **spec,
    }}  # fmt: skip


def claim(name: str = "data", size: str = "5Gi", **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": "manual",
        **spec,
    }}  # fmt: skip


def storage_class(lab: Lab, name: str, provisioner: str, **more: object) -> None:
    lab.cluster.create(CLASSES, None, {"metadata": {"name": name}, "provisioner": provisioner, **more}, user=PERSON)


def phase(lab: Lab, name: str = "data") -> str:
    return str((lab.get("persistentvolumeclaims", name).get("status") or {}).get("phase"))


def said(lab: Lab, reason: str) -> set[str]:
    return {event["message"] for event in lab.events(reason)}


def pod_with(claim_name: str = "data") -> Object:
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]}


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        (volume(size="1Gi"), claim()),
        (volume(), claim(accessModes=["ReadWriteMany"])),
        (volume(), claim(volumeMode="Block")),
        (volume(), claim(selector={"matchLabels": {"disk": "other"}})),
        (volume(claimRef={"namespace": "shop", "name": "someone"}), claim()),
        (volume(storageClassName="other"), claim()),
    ],
    ids=["size", "access-mode", "volume-mode", "selector", "claimed", "class"],
)
def test_a_volume_that_does_not_suit_is_not_bound(offered: Object, wanted: Object) -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "manual", "kubernetes.io/no-provisioner")
        lab.cluster.create("persistentvolumes", None, offered, user=PERSON)
        lab.create("persistentvolumeclaims", wanted)
        lab.deployment(pod=pod_with())
        await lab.sleep(20)
        assert phase(lab) == "Pending"
        assert any("unbound immediate PersistentVolumeClaims" in text for text in said(lab, "FailedScheduling"))
        lab.cluster.create("persistentvolumes", None, volume("big", volumeMode="Block" if
            wanted["spec"].get("volumeMode") else "Filesystem", accessModes=["ReadWriteOnce", "ReadWriteMany"])
            | {"metadata": {"name": "big", "labels": {"disk": "other"}}}, user=PERSON)  # fmt: skip
        await lab.until(lambda: phase(lab) == "Bound", 30)
        await lab.until(lab.is_rolled_out, 30)

    in_lab(scene)


@pytest.mark.parametrize(
    ("offered", "reason", "message"),
    [
        (volume(size="1Gi"), "VolumeMismatch", 'Cannot bind to requested volume "disk": requested PV is too small'),
        (volume(claimRef={"namespace": "x", "name": "y"}), "FailedBinding",
         'volume "disk" already bound to a different claim.'),
    ],
)  # fmt: skip
def test_a_claim_that_names_its_volume_says_why_it_does_not_get_it(offered: Object, reason: str, message: str) -> None:
    async def scene(lab: Lab) -> None:
        lab.cluster.create("persistentvolumes", None, offered, user=PERSON)
        lab.create("persistentvolumeclaims", claim(volumeName="disk"))
        await lab.until(lambda: said(lab, reason) == {message})
        assert phase(lab) == "Pending"

    in_lab(scene)


def test_a_local_volume_is_waited_for_where_it_is() -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "local", "kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer")
        lab.create("persistentvolumeclaims", claim(storageClassName="local"))
        lab.deployment(pod=pod_with())
        await lab.sleep(5)
        wanted = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
        assert any(text.startswith(wanted) for text in said(lab, "FailedScheduling"))
        where = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node2"]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}}
        body = volume(storageClassName="local", nodeAffinity=affinity)
        lab.cluster.create("persistentvolumes", None, body, user=PERSON)
        await lab.until(lab.is_rolled_out, 30)
        assert lab.pods()[0]["spec"]["nodeName"] == "node2"
        lab.mutate("nodes", "node2", lambda node: node["spec"].update(unschedulable=True))
        lab.delete("pods", lab.pods()[0]["metadata"]["name"])
        await lab.until(lambda: any(
            "didn't match PersistentVolume's node affinity" in text for text in said(lab, "FailedScheduling")
        ), 20)  # fmt: skip

    in_lab(scene, 2)


def test_a_disk_follows_its_pod_only_once_the_other_node_lets_go() -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "disks", "ebs.csi.aws.com", volumeBindingMode="WaitForFirstConsumer")
        lab.create("persistentvolumeclaims", claim(storageClassName="disks"))
        lab.deployment(pod=pod_with())
        await lab.until(lab.is_rolled_out, 30)
        first = lab.pods()[0]
        lab.mutate("nodes", first["spec"]["nodeName"], lambda node: node["spec"].update(unschedulable=True))
        lab.mutate("deployments.apps", "web", lambda d: d["spec"].update(replicas=2))
        name = lab.get("persistentvolumeclaims", "data")["spec"]["volumeName"]
        wanted = f'Multi-Attach error for volume "{name}" Volume is already used by pod(s) {first["metadata"]["name"]}'
        await lab.until(lambda: said(lab, "FailedAttachVolume") == {wanted}, 10)
        lab.delete("pods", first["metadata"]["name"])
        lab.mutate("deployments.apps", "web", lambda d: d["spec"].update(replicas=1))
        await lab.until(lab.is_rolled_out, 60)

    in_lab(scene, 2)


def test_a_disk_stays_in_its_zone() -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "disks", "ebs.csi.aws.com", volumeBindingMode="WaitForFirstConsumer")
        lab.create("persistentvolumeclaims", claim(storageClassName="disks"))
        lab.deployment(pod=pod_with())
        await lab.until(lab.is_rolled_out, 30)
        node = lab.pods()[0]["spec"]["nodeName"]
        lab.mutate("nodes", node, lambda item: item["spec"].update(unschedulable=True))
        lab.delete("pods", lab.pods()[0]["metadata"]["name"])
        wanted = "1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) were unschedulable"
        await lab.until(lambda: any(wanted in text for text in said(lab, "FailedScheduling")), 20)

    in_lab(scene, ZONES)


def test_a_claim_grows_only_where_its_class_allows_it() -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "fixed", "rancher.io/local-path")
        storage_class(lab, "growing", "rancher.io/local-path", allowVolumeExpansion=True)
        for name in ("fixed", "growing"):
            lab.create("persistentvolumeclaims", claim(name, storageClassName=name))
        await lab.until(lambda: phase(lab, "fixed") == phase(lab, "growing") == "Bound")

        def grow(item: Object) -> None:
            item["spec"]["resources"]["requests"]["storage"] = "8Gi"

        with pytest.raises(ApiError, match="must support resize"):
            lab.mutate("persistentvolumeclaims", "fixed", grow)
        lab.mutate("persistentvolumeclaims", "growing", grow)
        await lab.until(lambda: lab.get("persistentvolumeclaims", "growing")["status"]["capacity"]["storage"] == "8Gi")
        assert said(lab, "Resizing")

    in_lab(scene)


def test_a_claim_beyond_the_quota_is_told_of_at_its_stateful_set() -> None:
    async def scene(lab: Lab) -> None:
        lab.create(
            "resourcequotas", {"metadata": {"name": "claims"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}}
        )
        template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
        spec = {
            "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}],
        }  # fmt: skip
        lab.create("statefulsets.apps", {"metadata": {"name": "db"}, "spec": spec})
        await lab.until(lambda: len(lab.events("FailedCreate", "StatefulSet")) == 2)
        refused = (
            'persistentvolumeclaims "data-db-0" is forbidden: exceeded quota: claims, '
            "requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0"
        )
        assert said(lab, "FailedCreate") == {
            f"create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: {refused}",
            f"create Pod db-0 in StatefulSet db failed error: failed to create PVC data-db-0: {refused}",
        }
        await lab.sleep(30)
        counts = {e["count"] for e in lab.events("FailedCreate")}
        assert all(8 <= count <= 16 for count in counts), "again and again, ever more seldom"
        assert not lab.pods("db")
        lab.mutate("resourcequotas", "claims", lambda q: q["spec"].update(hard={"persistentvolumeclaims": "1"}))
        await lab.until(lambda: lab.pods("db"), 60)

    in_lab(scene)
