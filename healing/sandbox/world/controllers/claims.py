"""PersistentVolumeClaims: bound to a fitting volume, or to one made by the class's provisioner."""

from __future__ import annotations

from healing.sandbox.ports import ApiError, EventType, Object
from healing.sandbox.world import quantities
from healing.sandbox.world.context import Context
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.scheduler.volumes import SELECTED_NODE

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
#: provisioners that run in the sandbox; any other is waited for in vain
PROVISIONERS = frozenset(
    {"sandbox.recist.io/hostpath", "rancher.io/local-path", "kubernetes.io/gce-pd", "ebs.csi.aws.com"}
)
PROVISIONER_ANNOTATIONS = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)
_NO_PROVISIONER = "kubernetes.io/no-provisioner"


class ClaimController(Reconciler):
    component = "persistentvolume-controller"
    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: volumes whose claims have gone
        self._orphaned: list[str] = []

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
        if reference is not None:
            self.queue.add((reference["namespace"], reference["name"]))
        elif event == "ADDED":
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
        claim = self.cluster.get(CLAIMS, *key)
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            return
        name = claim["spec"].get("volumeName")
        if (claim.get("status") or {}).get("phase") == "Bound":
            if name and self.cluster.get(VOLUMES, None, name) is None:
                self._set_phase(claim, "Lost", None)
                self._event(
                    claim,
                    "Warning",
                    "ClaimLost",
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                )
            return
        volume = self.cluster.get(VOLUMES, None, name) if name else self._fitting_volume(claim)
        if volume is not None:
            self._bind(claim, volume)
            return
        self._provision(claim, key)

    def _fitting_volume(self, claim: Object) -> Object | None:
        spec = claim["spec"]
        size = quantities.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage"))
        fitting = [
            volume
            for volume in self.cluster.list(VOLUMES)
            if _is_free(volume, claim)
            and (volume["spec"].get("storageClassName") or "") == (spec.get("storageClassName") or "")
            and set(spec.get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())
            and quantities.parse((volume["spec"].get("capacity") or {}).get("storage")) >= size
        ]
        return min(fitting, key=lambda v: quantities.parse(v["spec"]["capacity"]["storage"]), default=None)

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
        provisioner = storage_class.get("provisioner") or _NO_PROVISIONER
        if provisioner != _NO_PROVISIONER:
            claim = self._name_provisioner(claim, provisioner)
        if provisioner not in PROVISIONERS:
            if provisioner != _NO_PROVISIONER:
                message = (
                    "Waiting for a volume to be created either by the external provisioner "
                    f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, please "
                    "verify that the provisioner is running and correctly registered."
                )
                self._event(claim, "Normal", "ExternalProvisioning", message)
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
                "hostPath": {"path": f"/var/lib/volumes/{name}"},
            },
        }
        if node:
            body["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
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
        if not _is_free(volume, claim):
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

    def _event(self, claim: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            claim, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _is_free(volume: Object, claim: Object) -> bool:
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return True
    metadata = claim["metadata"]
    return (
        reference.get("namespace") == metadata["namespace"]
        and reference.get("name") == metadata["name"]
        and reference.get("uid") in (None, "", metadata["uid"])
    )
