"""scale, eviction, binding, token, finalize, resize."""

from __future__ import annotations

from starlette.responses import Response

from healing.sandbox.api import errors
from healing.sandbox.api.authn import Authenticator
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.decode import DecodeError, parse_json
from healing.sandbox.api.http.bodies import media_type, read_body
from healing.sandbox.api.http.objects import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Call, Objects
from healing.sandbox.api.http.request import dry_run
from healing.sandbox.api.http.respond import JsonResponse, encode
from healing.sandbox.api.meta import clone, timestamp
from healing.sandbox.api.patches.jsonpatch import apply_json_patch
from healing.sandbox.api.patches.merge import apply_merge_patch
from healing.sandbox.api.tables.columns import selector_text
from healing.sandbox.api.tables.jsonpath import first_match
from healing.sandbox.api.writes import Options
from healing.sandbox.ports import Object

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_TOKEN_SECONDS = 3600


class Subresources:
    def __init__(self, server: ApiServer, objects: Objects, authenticator: Authenticator) -> None:
        self._server = server
        self._objects = objects
        self._authenticator = authenticator

    # -- scale ----------------------------------------------------------------------------------------------------

    def get_scale(self, call: Call) -> Response:
        return encode(self._scale_of(call, self._objects.find(call)), call.accept)

    def _paths(self, call: Call) -> tuple[str, str, str]:
        custom = ((call.resource.custom or {}).get("subresources") or {}).get("scale")
        if custom:
            return custom["specReplicasPath"], custom["statusReplicasPath"], custom.get("labelSelectorPath", "")
        return ".spec.replicas", ".status.replicas", ""

    def _scale_of(self, call: Call, obj: Object) -> Object:
        metadata = obj["metadata"]
        spec_path, status_path, selector_path = self._paths(call)
        status: Object = {"replicas": first_match(obj, status_path) or 0}
        if selector_path:
            selector = first_match(obj, selector_path)
        elif call.resource.storage == "replicationcontrollers":
            selector = ",".join(f"{key}={value}" for key, value in sorted((obj["spec"].get("selector") or {}).items()))
        else:
            selector = selector_text((obj.get("spec") or {}).get("selector"))
        if selector and selector != "<none>":
            status["selector"] = selector
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        replicas = first_match(obj, spec_path)
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {key: metadata[key] for key in kept if key in metadata},
            "spec": {"replicas": replicas} if replicas else {},
            "status": status,
        }

    def write_scale(self, call: Call) -> Response:
        """PUT and PATCH of a Scale: only ``spec.replicas`` counts."""
        patching = media_type(call.content_type) in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
        kind = "PatchOptions" if patching else "UpdateOptions"
        options = Options(
            call.user,
            dry_run=dry_run(call.query.getlist("dryRun"), kind),
            manager=call.manager,
            api_version=call.resource.api_version,
        )
        self._objects.find(call)
        spec_path = self._paths(call)[0].strip(".").split(".")

        def change(old: Object) -> Object:
            scale = self._wanted_scale(call, self._scale_of(call, old), patching=patching)
            replicas = (scale.get("spec") or {}).get("replicas", 0)
            if isinstance(replicas, bool) or not isinstance(replicas, int):
                raise errors.bad_request(
                    'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into Go struct '
                    "field ScaleSpec.spec.replicas of type int32"
                )
            if replicas < 0:
                cause = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
                raise errors.invalid("Scale", "autoscaling", call.target.name, [cause])
            new: Object = clone(old)
            place = new
            for step in spec_path[:-1]:
                place = place.setdefault(step, {})
            place[spec_path[-1]] = replicas
            version = (scale.get("metadata") or {}).get("resourceVersion")
            if version:
                new["metadata"]["resourceVersion"] = version
            return new

        stored = self._server.registry.by_storage(call.resource.storage) or call.resource
        updated = self._server.writes.update(stored, call.target.namespace, call.target.name, change, options, "scale")
        return encode(self._scale_of(call, updated), call.accept)

    @staticmethod
    def _wanted_scale(call: Call, current: Object, *, patching: bool) -> Object:
        if not patching:
            return read_body(call.resource, call.body, call.content_type, "Scale")
        try:
            patch = parse_json(call.body)
        except DecodeError as error:
            raise errors.bad_request(f"error decoding patch: {error}") from error
        if media_type(call.content_type) == JSON_PATCH:
            patched: Object = apply_json_patch(current, patch)
        else:
            # A Scale has no lists, so strategic and merge patches do the same.
            patched = apply_merge_patch(current, patch)
        return patched

    # -- pods -----------------------------------------------------------------------------------------------------

    def bind(self, call: Call) -> Response:
        data = read_body(call.resource, call.body, call.content_type, "Binding")
        node = (data.get("target") or {}).get("name")
        if not node:
            raise errors.invalid("Binding", "", call.target.name, [errors.required("target.name")])
        self._server.bind(call.target.namespace, call.target.name, node, call.user)
        return JsonResponse(_SUCCESS, 201)

    def evict(self, call: Call) -> Response:
        data = read_body(call.resource, call.body, call.content_type, "Eviction")
        name = (data.get("metadata") or {}).get("name")
        if name and name != call.target.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
            )
        options = data.get("deleteOptions") or {}
        values = [*call.query.getlist("dryRun"), *(options.get("dryRun") or ())]
        self._server.evict(
            call.target.namespace,
            call.target.name,
            user=call.user,
            grace_seconds=options.get("gracePeriodSeconds"),
            dry_run=dry_run(values, "DeleteOptions"),
            uid=(options.get("preconditions") or {}).get("uid") or "",
        )
        return JsonResponse(_SUCCESS, 201)

    # -- service accounts -----------------------------------------------------------------------------------------

    def token(self, call: Call) -> Response:
        data = read_body(call.resource, call.body, call.content_type, "TokenRequest")
        spec = data.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or _TOKEN_SECONDS)
        token = self._authenticator.account_token(call.target.namespace, call.target.name, seconds)
        status = {"token": token, "expirationTimestamp": timestamp(self._server.clock() + seconds)}
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": call.target.name, "namespace": call.target.namespace},
            "spec": {"audiences": spec.get("audiences") or ["sandbox"], "expirationSeconds": seconds},
            "status": status,
        }
        return JsonResponse(answer, 201)
