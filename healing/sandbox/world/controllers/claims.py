"""PersistentVolumeClaims: bound to a fitting volume, or to one made by the class's provisioner."""

from __future__ import annotations

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import quantities, storage
from healing.sandbox.world.context import Context
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.scheduler.volumes import SELECTED_NODE

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
#: provisioners that run in the sandbox; any other is waited for in vain
PROVISIONERS = frozenset(
    {"sandbox.recist.io/hostpath", "rancher.io/local-path", "kubernetes.io/gce-pd", "ebs.csi.aws.com"}
)
#: those of them that make disks of one zone, attached to one machine at a time
DISKS = frozenset({"kubernetes.io/gce-pd", "ebs.csi.aws.com"})
PROVISIONER_ANNOTATIONS = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)


class ClaimController(Reconciler):
    component = "persistentvolume-controller"
    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: volumes whose claims have gone
        self._orphaned: list[str] = []
        #: released volumes that somebody has changed
        self._maybe_free: list[str] = []

    def watch(self) -> None:
        self.on_own(CLAIMS)
        self.on(CLAIMS, self._claim_gone)
        self.on(VOLUMES, self._volume_changed)
        self.on(CLASSES, self._class_changed)

    def _claim_gone(self, event: EventType, claim: Object, _old: Object | None) -> None:
        if event == "DELETED" and claim["spec"].get("volumeName"):
            self._orphaned.append(claim["spec"]["volumeName"])
            self.queue.add(key_of(claim))

    def _volume_changed(self, event: EventType, volume: Object, _old: Object | None) -> None:
        reference = volume["spec"].get("claimRef")
        if (volume.get("status") or {}).get("phase") == "Released" and event == "MODIFIED":
            self._maybe_free.append(volume["metadata"]["name"])
        if reference is not None:
            self.queue.add((reference["namespace"], reference["name"]))
        elif event == "ADDED" or self._maybe_free:
            self._wake_pending()

    def _class_changed(self, event: EventType, _item: Object, _old: Object | None) -> None:
        if event == "ADDED":
            self._wake_pending()

    def _wake_pending(self) -> None:
        for claim in self.cluster.list(CLAIMS):
            if (claim.get("status") or {}).get("phase") != "Bound":
                self.queue.add(key_of(claim))

    def reconcile(self, key: Key) -> None:
        while self._orphaned:
            self._release(self._orphaned.pop())
        while self._maybe_free:
            self._free_again(self._maybe_free.pop())
        claim = self.cluster.get(CLAIMS, *key)
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            return
        name = claim["spec"].get("volumeName")
        if (claim.get("status") or {}).get("phase") == "Bound":
            self._expand(claim)
            if name and self.cluster.get(VOLUMES, None, name) is None:
                self._set_phase(claim, "Lost", None)
                self._event(
                    claim,
                    "Warning",
                    "ClaimLost",
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                )
            return
        if name:
            volume = self.cluster.get(VOLUMES, None, name)
            if volume is not None and self._check_named(claim, volume):
                self._bind(claim, volume)
            else:
                self._retry(key)
            return
        volume = self._fitting_volume(claim)
        if volume is not None:
            self._bind(claim, volume)
            return
        self._provision(claim, key)

    def _fitting_volume(self, claim: Object) -> Object | None:
        """A claim of a class that waits is matched for the node its pod was given."""
        spec, node = claim["spec"], None
        if self._waits(spec.get("storageClassName")):
            selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
            node = self.cluster.get("nodes", None, selected or "")
            if node is None:
                return None
        return storage.smallest_fitting(self.cluster.list(VOLUMES), claim, node)

    def _waits(self, class_name: str | None) -> bool:
        found = self.cluster.get(CLASSES, None, class_name) if class_name else None
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _check_named(self, claim: Object, volume: Object) -> bool:
        """A claim that asks for one volume by name gets that one or none."""
        if not storage.is_free(volume, claim):
            message = f'volume "{volume["metadata"]["name"]}" already bound to a different claim.'
            self._event(claim, "Warning", "FailedBinding", message)
            return False
        problem = storage.mismatch(volume, claim)
        if problem:
            message = f'Cannot bind to requested volume "{volume["metadata"]["name"]}": {problem}'
            self._event(claim, "Warning", "VolumeMismatch", message)
        return not problem

    def _provision(self, claim: Object, key: Key) -> None:
        class_name = claim["spec"].get("storageClassName")
        if not class_name:
            message = "no persistent volumes available for this claim and no storage class is set"
            self._event(claim, "Normal", "FailedBinding", message)
            self._retry(key)
            return
        storage_class = self.cluster.get(CLASSES, None, class_name)
        if storage_class is None:
            message = f'storageclass.storage.k8s.io "{class_name}" not found'
            self._event(claim, "Warning", "ProvisioningFailed", message)
            self._retry(key)
            return
        annotations = claim["metadata"].get("annotations") or {}
        waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        if waits and SELECTED_NODE not in annotations:
            message = "waiting for first consumer to be created before binding"
            self._event(claim, "Normal", "WaitForFirstConsumer", message)
            return
        provisioner = storage_class.get("provisioner") or storage.NO_PROVISIONER
        if provisioner != storage.NO_PROVISIONER:
            claim = self._name_provisioner(claim, provisioner)
        if provisioner not in PROVISIONERS:
            if provisioner != storage.NO_PROVISIONER:
                message = (
                    "Waiting for a volume to be created either by the external provisioner "
                    f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, please "
                    "verify that the provisioner is running and correctly registered."
                )
                self._event(claim, "Normal", "ExternalProvisioning", message)
            self._retry(key)
            return
        if claim["spec"].get("selector") is not None:
            message = f'failed to provision volume with StorageClass "{class_name}": claim Selector is not supported'
            self._event(claim, "Warning", "ProvisioningFailed", message)
            self._retry(key)
            return
        self._bind(claim, self._create_volume(claim, storage_class, provisioner))

    def _name_provisioner(self, claim: Object, provisioner: str) -> Object:
        """An external provisioner is told by annotations that a claim is its own."""
        wanted = dict.fromkeys(PROVISIONER_ANNOTATIONS, provisioner)
        if wanted.items() <= (claim["metadata"].get("annotations") or {}).items():
            return claim

        def note(body: Object) -> None:
            body["metadata"].setdefault("annotations", {}).update(wanted)

        return self.cluster.mutate(CLAIMS, *key_of(claim), note, user=self.user)

    def _retry(self, key: Key) -> None:
        self.queue.add_after(key, self.context.settings.claim_sync_seconds)

    def _create_volume(self, claim: Object, storage_class: Object, provisioner: str) -> Object:
        spec, uid = claim["spec"], claim["metadata"]["uid"]
        name = f"pvc-{uid}"
        node = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        body: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
                "storageClassName": storage_class["metadata"]["name"],
                "volumeMode": spec.get("volumeMode") or "Filesystem",
            },
        }
        label = "kubernetes.io/hostname"
        if provisioner in DISKS:
            body["spec"]["csi"] = {"driver": provisioner, "volumeHandle": f"vol-{uid[:8]}", "fsType": "ext4"}
            label = "topology.kubernetes.io/zone"
        else:
            body["spec"]["hostPath"] = {"path": f"/var/lib/volumes/{name}"}
        labels = ((self.cluster.get("nodes", None, node or "") or {}).get("metadata") or {}).get("labels") or {}
        if node and label in labels:
            body["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": label, "operator": "In", "values": [labels[label]]}]}
            ]}}  # fmt: skip
        wanted_by = "/".join(key_of(claim))
        message = f'External provisioner is provisioning volume for claim "{wanted_by}"'
        self._event(claim, "Normal", "Provisioning", message)
        try:
            volume = self.cluster.create(VOLUMES, None, body, user=self.user)
        except ApiError as error:
            found = self.cluster.get(VOLUMES, None, name)
            if error.code != 409 or found is None:
                raise
            volume = found
        self._event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        return volume

    def _bind(self, claim: Object, volume: Object) -> None:
        metadata, name = claim["metadata"], volume["metadata"]["name"]
        reference = {
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata["namespace"],
            "name": metadata["name"], "uid": metadata["uid"],
        }  # fmt: skip
        if not storage.is_free(volume, claim):
            return

        def take(body: Object) -> None:
            body["spec"]["claimRef"] = {**reference, **(body["spec"].get("claimRef") or {}), "uid": metadata["uid"]}

        def fill(body: Object) -> None:
            body["spec"]["volumeName"] = name
            body["metadata"].setdefault("annotations", {}).update({
                "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
            })  # fmt: skip

        self.cluster.mutate(VOLUMES, None, name, take, user=self.user)
        self.cluster.mutate(
            VOLUMES,
            None,
            name,
            lambda body: body.update(status={"phase": "Bound"}),
            user=self.user,
            subresource="status",
        )
        bound = self.cluster.mutate(CLAIMS, *key_of(claim), fill, user=self.user)
        self._set_phase(bound, "Bound", volume)

    def _set_phase(self, claim: Object, phase: str, volume: Object | None) -> None:
        status: Object = {"phase": phase}
        if volume is not None:
            status |= {"accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]}
        self.cluster.mutate(
            CLAIMS, *key_of(claim), lambda body: body.update(status=status), user=self.user, subresource="status"
        )

    def _expand(self, claim: Object) -> None:
        """A bound claim that asks for more: admission has seen to it that its class allows that."""
        volume = self.cluster.get(VOLUMES, None, claim["spec"].get("volumeName") or "")
        wanted = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
        has = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
        if volume is None or not wanted or not has or quantities.parse(wanted) <= quantities.parse(has):
            return
        name = volume["metadata"]["name"]
        self._event(claim, "Normal", "Resizing", f"External resizer is resizing volume {name}")
        grown = self.cluster.mutate(
            VOLUMES, None, name, lambda body: body["spec"]["capacity"].update(storage=wanted), user=self.user
        )
        self._event(claim, "Normal", "FileSystemResizeSuccessful", "MountVolume.NodeExpandVolume succeeded for volume "
                    f'"{name}"')  # fmt: skip
        self._set_phase(claim, "Bound", grown)

    def _release(self, name: str) -> None:
        """The volume of a claim that is gone: deleted or kept, as its reclaim policy says."""
        volume = self.cluster.get(VOLUMES, None, name)
        if volume is None:
            return
        self.cluster.mutate(
            VOLUMES, None, name, lambda body: body.update(status={"phase": "Released"}), user=self.user,
            subresource="status",
        )  # fmt: skip
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            self.cluster.delete(VOLUMES, None, name, user=self.user)

    def _free_again(self, name: str) -> None:
        """A released volume whose reference an administrator has taken away, or turned to a claim that is there."""
        volume = self.cluster.get(VOLUMES, None, name)
        if volume is None or (volume.get("status") or {}).get("phase") != "Released":
            return
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid"):
            claim = self.cluster.get(CLAIMS, reference["namespace"], reference["name"])
            if claim is None or claim["metadata"]["uid"] != reference["uid"]:
                return
        self.cluster.mutate(
            VOLUMES, None, name, lambda body: body.update(status={"phase": "Available"}), user=self.user,
            subresource="status",
        )  # fmt: skip

    def _event(self, claim: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            claim, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip
