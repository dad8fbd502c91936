"""Which resources the server knows: built-in kinds, and custom ones while their CRD stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from healing.sandbox.api.errors import qualified

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """``pods/log``: what a subresource speaks and which verbs it has."""

    name: str
    verbs: tuple[str, ...]
    kind: str
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One resource in one API version. ``storage`` names the table it lives in: ``pods``, ``deployments.apps``."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    #: name of the Python client's model class, the source of the type's schema; empty for custom resources
    model: str = ""
    storage: str = ""
    list_kind: str = ""
    #: does ``metadata.generation`` count changes of the spec
    has_generation: bool = False
    storage_version_hash: str = ""
    #: the CRD's version entry of a custom resource
    custom: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return qualified(self.plural, self.group)

    def subresource(self, name: str) -> Subresource | None:
        return next((item for item in self.subresources if item.name == name), None)

    @property
    def has_status(self) -> bool:
        return self.subresource("status") is not None


class Registry:
    """Resource types by group, version and plural."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        self._by_storage: dict[str, ResourceType] = {}
        #: group -> versions, preferred first; order of registration
        self.groups: dict[str, list[str]] = {}
        #: raised by each change; discovery documents are cached by it
        self.revision = 0

    def add(self, resource: ResourceType) -> None:
        self._types[resource.group, resource.version, resource.plural] = resource
        if resource.storage:
            self._by_storage.setdefault(resource.storage, resource)
        versions = self.groups.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
        self.revision += 1

    def remove(self, group: str, plural: str) -> None:
        """Forget a custom resource in all its versions."""
        for key in [key for key in self._types if key[0] == group and key[2] == plural]:
            self._by_storage.pop(self._types.pop(key).storage, None)
        versions = [version for version in self.groups.get(group, []) if self.in_version(group, version)]
        if versions:
            self.groups[group] = versions
        else:
            self.groups.pop(group, None)
        self.revision += 1

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        return self._types.get((group, version, plural))

    def by_storage(self, storage: str) -> ResourceType | None:
        """``pods`` or ``deployments.apps``, as `Cluster`'s methods name resources."""
        return self._by_storage.get(storage)

    def by_kind(self, api_version: str, kind: str) -> ResourceType | None:
        group, _, version = api_version.rpartition("/")
        for (found_group, found_version, _), resource in self._types.items():
            if (found_group, found_version, resource.kind) == (group, version, kind):
                return resource
        return None

    def in_version(self, group: str, version: str) -> list[ResourceType]:
        found = [item for (a, b, _), item in self._types.items() if (a, b) == (group, version)]
        return sorted(found, key=lambda item: item.plural)

    def stored(self) -> Iterator[ResourceType]:
        """One type for each table, in no particular order."""
        return iter(list(self._by_storage.values()))

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(list(self._types.values()))
