"""Request bodies as objects of a kind, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import orjson

from healing.sandbox.api import errors, protobuf
from healing.sandbox.api.conversion import store_form
from healing.sandbox.api.crd_schema import prune
from healing.sandbox.api.decode import DecodeError, Decoder, decode_metadata, parse_json, parse_yaml
from healing.sandbox.api.http.request import MEDIA_TYPES, options_error
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import model_type
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import ApiError, Object

_SHOWN_BYTES = 30
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def unsupported_media(accepted: str = MEDIA_TYPES) -> ApiError:
    return errors.failure(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {accepted}",
    )


def field_validation(value: str | None, options_kind: str) -> str:
    """Strict, Warn or Ignore; Warn if not given."""
    if not value:
        return "Warn"
    if value not in ("Strict", "Warn", "Ignore"):
        raise options_error(
            options_kind, [errors.not_supported("fieldValidation", value, ("", "Ignore", "Strict", "Warn"))]
        )
    return value


def read_body(resource: ResourceType, body: bytes, content_type: str, kind: str = "") -> Object:
    """The parsed body of a create or update: a JSON object with the right kind; 400 or 415 `ApiError` otherwise."""
    media = media_type(content_type)
    wanted = kind or resource.kind
    if media in ("", "application/json"):
        try:
            data = parse_json(body)
        except DecodeError as error:
            shown = body[:_SHOWN_BYTES].decode(errors="replace")
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {wanted}): couldn't get version/kind; "
                f"json parse error: {error} ({shown} ...)"
            ) from error
    elif media == protobuf.MEDIA_TYPE:
        try:
            data = protobuf.decode_body(body)
        except protobuf.ProtobufError as error:
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {wanted}): {error}"
            ) from error
    elif media in _YAML_TYPES:
        try:
            data = parse_yaml(body)
        except DecodeError as error:
            raise errors.bad_request(str(error)) from error
    else:
        raise unsupported_media()
    if not isinstance(data, dict):
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {wanted}): couldn't get version/kind; json parse "
            "error: json: cannot unmarshal into Go value of type struct"
        )
    return data


def check_kind(resource: ResourceType, data: Object) -> None:
    """The body's kind and apiVersion, if given, must be the URL's."""
    kind, version = data.get("kind"), data.get("apiVersion")
    if kind and kind != resource.kind:
        short = str(version or resource.api_version).rpartition("/")[2]
        internal = resource.group.partition(".")[0] or "core"
        raise errors.bad_request(
            f'{kind} in version "{short}" cannot be handled as a {resource.kind}: converting ({short}.{kind}) to '
            f"({internal}.{resource.kind}): unknown conversion"
        )
    if version and version != resource.api_version:
        raise errors.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )


class BodyReader:
    """Turns a parsed body into what is stored; collects warnings about unknown fields."""

    def __init__(self, resource: ResourceType, validation: str, kubernetes: KubernetesVersion) -> None:
        self._resource = resource
        self._later = kubernetes.unknown_fields
        self._validation = validation
        self.warnings: list[str] = []

    def of_create(self, data: Object) -> Object:
        """400 `ApiError` for a wrong type or, if strict, an unknown field."""
        check_kind(self._resource, data)
        short = self._resource.version
        prefix = f'{self._resource.kind} in version "{short}" cannot be handled as a {self._resource.kind}: '
        try:
            obj, unknown = self.decode(data)
        except DecodeError as error:
            raise errors.bad_request(prefix + str(error)) from error
        if unknown and self._validation == "Strict":
            raise errors.bad_request(prefix + "strict decoding error: " + ", ".join(unknown))
        self._warn(unknown)
        return obj

    def of_patch(self, data: Object) -> Object:
        """422 `ApiError` for the same, in the words of a patch."""
        try:
            obj, unknown = self._decode_strictly(data)
        except DecodeError as error:
            shown = errors.go_value(orjson.dumps(data).decode())
            cause = errors.Cause("FieldValueInvalid", f"Invalid value: {shown}: {error}", "patch")
            raise errors.failure(
                422,
                "Invalid",
                f' "" is invalid: patch: Invalid value: {shown}: {error}',
                details={"causes": [cause.as_object()]},
            ) from error
        self._warn(unknown)
        return obj

    def _decode_strictly(self, data: Object) -> tuple[Object, list[str]]:
        obj, unknown = self.decode(data)
        if unknown and self._validation == "Strict":
            raise DecodeError("strict decoding error: " + ", ".join(unknown))
        return obj, unknown

    def _warn(self, unknown: list[str]) -> None:
        if self._validation == "Warn":
            self.warnings += unknown

    def decode(self, data: Object) -> tuple[Object, list[str]]:
        """The object in its stored form, and texts such as ``unknown field "spec.replicass"``."""
        resource = self._resource
        if resource.custom is not None:
            return self._decode_custom(data)
        decoder = Decoder(self._later)
        typed = decoder.decode(data, model_type(resource.model))
        unknown = [f'unknown field "{path}"' for path in decoder.unknown]
        return store_form(resource, typed), unknown

    def _decode_custom(self, data: Object) -> tuple[Object, list[str]]:
        obj = dict(data)
        if isinstance(obj.get("metadata"), dict):
            obj["metadata"] = decode_metadata(obj["metadata"])
        elif "metadata" in obj:
            raise DecodeError("json: cannot unmarshal into Go struct field ObjectMeta.metadata")
        unknown: list[str] = []
        version = self._resource.custom or {}
        pruned = prune(obj, (version.get("schema") or {}).get("openAPIV3Schema") or {}, unknown)
        return pruned, [f'unknown field "{path}"' for path in unknown]


def delete_options(body: bytes) -> Object:
    """The DeleteOptions of a DELETE's body; 400 `ApiError` if it is none."""
    if not body:
        return {}
    try:
        data: Any = protobuf.decode_body(body) if protobuf.is_protobuf(body) else parse_yaml(body)
    except (DecodeError, protobuf.ProtobufError) as error:
        raise errors.bad_request(str(error)) from error
    if not isinstance(data, dict):
        raise errors.bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
    return data
