"""Tables: what kubectl prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.tables.builtin import LAYOUTS
from healing.sandbox.api.tables.columns import NAME, Column, Layout, name_of, parse_columns, since
from healing.sandbox.api.tables.jsonpath import first_match
from healing.sandbox.ports import Object

_DEFAULT = Layout(
    parse_columns("Name, Created At:date"),
    lambda obj, _now: [name_of(obj), obj["metadata"].get("creationTimestamp", "")],
)


def has_own_layout(resource: ResourceType) -> bool:
    """Kinds without one answer an empty list with ``rows: null``."""
    return resource.storage in LAYOUTS or resource.custom is not None


def layout_of(resource: ResourceType) -> Layout:
    if resource.custom is not None:
        return _custom_layout(resource.custom)
    return LAYOUTS.get(resource.storage, _DEFAULT)


def _custom_layout(version: dict[str, Any]) -> Layout:
    columns = [NAME]
    readers: list[tuple[str, str]] = []
    given = version.get("additionalPrinterColumns")
    if not given:
        given = [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    for item in given:
        columns.append(
            Column(
                item["name"], item["type"], item.get("format", ""), item.get("priority", 0), item.get("description", "")
            )
        )
        readers.append((item["jsonPath"], item["type"]))

    def cells(obj: Object, now: float) -> list[Any]:
        row: list[Any] = [name_of(obj)]
        for path, kind in readers:
            row.append(_custom_cell(first_match(obj, path), kind, now))
        return row

    return Layout(tuple(columns), cells)


def _custom_cell(value: Any, kind: str, now: float) -> Any:
    if value is None:
        return None
    if kind == "date":
        return since(str(value), now)
    if kind == "string":
        return value if isinstance(value, str) else _go_text(value)
    if kind == "integer":
        return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return value


def _go_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def table_row(resource: ResourceType, obj: Object, now: float, include: str) -> Object:
    """One row; ``include`` is None, Metadata or Object."""
    row: Object = {"cells": layout_of(resource).cells(obj, now)}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial_metadata(obj)
    else:
        row["object"] = None
    return row


def partial_metadata(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    resource: ResourceType,
    objects: Sequence[Object],
    metadata: Object,
    now: float,
    include: str,
    *,
    with_columns: bool = True,
) -> Object:
    """A meta.k8s.io/v1 Table."""
    rows: list[Object] | None = [table_row(resource, obj, now, include) for obj in objects]
    if not rows and not has_own_layout(resource):
        rows = None
    columns = [column.as_object() for column in layout_of(resource).columns] if with_columns else None
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }
