"""Reading the protobuf bodies that typed Go clients (kubectl create, autoscale, ...) send.

Answers are always JSON: every such client accepts it too. The field numbers are in ``wire.json`` (see generate.py).
"""

from __future__ import annotations

import base64
import functools
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from healing.sandbox.api.schema import Type, model_type
from healing.sandbox.ports import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPE_DOUBLE, _TYPE_STRING, _TYPE_BOOL, _TYPE_MESSAGE, _TYPE_BYTES = 1, 9, 8, 11, 12
_SIGN = 1 << 63
_Table = dict[int, tuple[str, int, str, str]]

#: optional numbers and booleans whose zero says something; of all others a zero means "not given"
_ZERO_COUNTS = frozenset(
    "replicas minReplicas revisionHistoryLimit progressDeadlineSeconds terminationGracePeriodSeconds completions "
    "parallelism backoffLimit gracePeriodSeconds expirationSeconds automountServiceAccountToken suspend runAsUser "
    "runAsGroup fsGroup runAsNonRoot partition ttlSecondsAfterFinished enableServiceLinks allowPrivilegeEscalation "
    "readOnlyRootFilesystem privileged immutable optional orphanDependents controller blockOwnerDeletion value "
    "tolerationSeconds averageUtilization stabilizationWindowSeconds successfulJobsHistoryLimit failedJobsHistoryLimit "
    "averageValue setHostnameAsFQDN publishNotReadyAddresses allocateLoadBalancerNodePorts".split()
)


class ProtobufError(ValueError):
    """The bytes are no message of this kind."""


@functools.cache
def _messages() -> dict[str, _Table]:
    raw = orjson.loads(Path(__file__).with_name("wire.json").read_bytes())
    return {name: {int(number): tuple(field) for number, field in fields.items()} for name, fields in raw.items()}


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data):
            raise ProtobufError("unexpected EOF")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value): an int, or the bytes of anything longer."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ProtobufError(f"proto: illegal wireType {kind}")
        if position + size > len(data):
            raise ProtobufError("unexpected EOF")
        yield tag >> 3, data[position : position + size]
        position += size


def is_protobuf(body: bytes) -> bool:
    return body.startswith(_MAGIC)


def decode_body(body: bytes) -> Object:
    """The object as JSON; ProtobufError if it is of a kind the server does not know."""
    if not is_protobuf(body):
        raise ProtobufError("the body lacks the prefix of Kubernetes' protobuf encoding")
    parts = dict(_fields(body[len(_MAGIC) :]))
    names = dict(_fields(parts.get(1, b"")))
    api_version, kind = names.get(1, b"").decode(), names.get(2, b"").decode()
    group, _, version = api_version.rpartition("/")
    package = group.partition(".")[0] or "core"
    message = f"k8s.io.api.{package}.{version}.{kind}"
    if kind == "DeleteOptions":
        message = "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions"
    if message not in _messages():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    obj = _decode(parts.get(2, b""), message)
    return {"apiVersion": api_version, "kind": kind, **obj}


def _decode(data: bytes, message: str) -> Any:
    short = message.rpartition(".")[2]
    special = _SPECIAL.get(short)
    if special is not None:
        return special(dict(_fields(data)))
    table = _messages().get(message)
    if table is None:
        raise ProtobufError(f"unknown message {message}")
    result: Object = {}
    for number, raw in _fields(data):
        field = table.get(number)
        if field is None:
            continue
        name, kind, shape, inner = field
        if shape == "map":
            key, value = _map_entry(raw, kind, inner)
            result.setdefault(name, {})[key] = value
        elif shape == "list":
            result.setdefault(name, []).append(_value(raw, kind, inner))
        else:
            _put(result, short, name, _value(raw, kind, inner))
    return result["items"] if short in _WRAPPERS else result


#: messages that stand for a bare list
_WRAPPERS = frozenset({"Verbs", "ExtraValue"})
_INLINE = frozenset(
    "volumeSource handler persistentVolumeSource localObjectReference ephemeralContainerCommon secretReference".split()
)


def _put(result: Object, owner: str, name: str, value: Any) -> None:
    if name in _INLINE and isinstance(value, dict) and name not in _known_fields(owner):
        result.update(value)
    elif (
        value is None
        or value == ""
        or ((value == 0 or value is False) and not isinstance(value, dict) and name not in _ZERO_COUNTS)
    ):
        return
    else:
        result[name] = value


@functools.cache
def _known_fields(owner: str) -> frozenset[str]:
    """JSON fields of a message's model; what is not among them is written inline."""
    try:
        kind: Type = model_type(f"V1{owner}")
        return frozenset(kind.fields)
    except AttributeError:
        return frozenset()


def _map_entry(raw: bytes, kind: int, inner: str) -> tuple[str, Any]:
    parts = dict(_fields(raw))
    value = parts.get(2, b"" if kind in (_TYPE_STRING, _TYPE_BYTES, _TYPE_MESSAGE) else 0)
    return parts.get(1, b"").decode(), _value(value, kind, inner)


def _value(raw: Any, kind: int, inner: str) -> Any:
    if kind == _TYPE_STRING:
        return raw.decode()
    if kind == _TYPE_BYTES:
        return base64.b64encode(raw).decode()
    if kind == _TYPE_MESSAGE:
        return _decode(raw, inner)
    if kind == _TYPE_BOOL:
        return bool(raw)
    if kind == _TYPE_DOUBLE:
        return struct.unpack("<d", raw)[0]
    return raw - (_SIGN << 1) if raw >= _SIGN else raw


def _time(parts: dict[int, Any]) -> str | None:
    seconds = parts.get(1)
    if not seconds or seconds >= _SIGN:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(parts: dict[int, Any]) -> str | None:
    seconds = parts.get(1)
    if not seconds or seconds >= _SIGN:
        return None
    moment = datetime.fromtimestamp(seconds + parts.get(2, 0) / 1e9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _raw_json(parts: dict[int, Any]) -> Any:
    return orjson.loads(parts[1]) if parts.get(1) else None


_SPECIAL = {
    "Quantity": lambda parts: parts.get(1, b"0").decode(),
    "IntOrString": lambda parts: parts.get(3, b"").decode() if parts.get(1) == 1 else _value(parts.get(2, 0), 5, ""),
    "Time": _time,
    "MicroTime": _micro_time,
    "FieldsV1": _raw_json,
    "RawExtension": _raw_json,
}
