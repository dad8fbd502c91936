"""Custom resources: their types in the registry, and the rules their CRD sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.api.errors import Cause
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer


class CustomRules:
    def prepare_create(self, obj: Object) -> None: ...

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None: ...

    def check(self, new: Object, old: Object | None, subresource: str = "") -> list[Cause]:
        return []


class CustomResources:
    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def rules(self, resource: ResourceType) -> CustomRules:
        return CustomRules()
