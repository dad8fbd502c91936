"""Writes ``wire.json``: the field numbers of Kubernetes' protobuf messages.

kubectl carries the (compressed) descriptors of every message it can send. To update the table for a newer release:
``python -m healing.sandbox.api.protobuf.generate PATH_OF_KUBECTL``. Needs the ``protobuf`` package.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]

from healing.sandbox.api.builtin import register_builtin
from healing.sandbox.api.registry import Registry
from healing.sandbox.api.versions import NEWEST_MINOR, KubernetesVersion

_GZIP = b"\x1f\x8b\x08\x00"
_WINDOW = 2_000_000
_LABEL_REPEATED = 3
_EXTRA_ROOTS = (
    "k8s.io.api.policy.v1.Eviction",
    "k8s.io.api.autoscaling.v1.Scale",
    "k8s.io.api.authentication.v1.TokenRequest",
    "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "k8s.io.apimachinery.pkg.runtime.Unknown",
)


def read_descriptors(binary: bytes) -> dict[str, Any]:
    """Messages by full name, from every compressed descriptor in the program."""
    messages: dict[str, Any] = {}
    position = binary.find(_GZIP)
    while position >= 0:
        file = descriptor_pb2.FileDescriptorProto()
        try:
            file.ParseFromString(zlib.decompressobj(31).decompress(binary[position : position + _WINDOW]))
        except Exception:  # noqa: BLE001  (most matches are no descriptors)
            file.Clear()
        for message in file.message_type:
            messages[f"{file.package}.{message.name}"] = message
        position = binary.find(_GZIP, position + 1)
    return messages


def _fields(message: Any) -> dict[str, list[Any]]:
    maps = {f".{entry.name}": entry.field[1] for entry in message.nested_type if entry.options.map_entry}
    fields: dict[str, list[Any]] = {}
    for item in message.field:
        repeated = item.label == _LABEL_REPEATED
        entry = next((value for name, value in maps.items() if item.type_name.endswith(name)), None)
        if entry is not None and repeated:
            fields[str(item.number)] = [item.name, entry.type, "map", entry.type_name.lstrip(".")]
        else:
            fields[str(item.number)] = [item.name, item.type, "list" if repeated else "", item.type_name.lstrip(".")]
    return fields


def main() -> None:
    messages = read_descriptors(Path(sys.argv[1]).read_bytes())
    registry = Registry()
    register_builtin(registry, KubernetesVersion(NEWEST_MINOR))
    roots = list(_EXTRA_ROOTS)
    for resource in registry:
        group = resource.group.partition(".")[0] or "core"
        roots.append(f"k8s.io.api.{group}.{resource.version}.{resource.kind}")
    table: dict[str, Any] = {}
    while roots:
        name = roots.pop()
        if name in table or name not in messages:
            continue
        table[name] = _fields(messages[name])
        roots += [field[3] for field in table[name].values() if field[3]]
    lines = [f"{json.dumps(name)}:{json.dumps(table[name], separators=(',', ':'))}" for name in sorted(table)]
    Path(__file__).with_name("wire.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
