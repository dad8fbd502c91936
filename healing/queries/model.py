"""What a query of the catalogue is, and the matchers that its parameters are filled with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: Namespaces asked for in one query: a regular expression has to stay of a size that a server takes.
NAMESPACES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Query:
    """``template`` in PromQL (or LogQL). ``labels``: those the answer is read by. ``example``: values for a test."""

    name: str
    template: str
    what: str
    unit: str
    labels: tuple[str, ...]
    used_by: str
    language: str = "PromQL"
    example: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def text(self, **values: str) -> str:
        """The query with its parameters filled in. KeyError: one is missing or unknown."""
        found = self.template
        for name, value in values.items():
            if f"${name}" not in found:
                raise KeyError(name)
            found = found.replace(f"${name}", value)
        if missing := re.search(r"\$([a-z_]+)", re.sub(r'"(?:[^"\\]|\\.)*"', "", found)):
            raise KeyError(missing.group(1))
        return found


def in_namespaces(namespaces: Iterable[str], label: str = "namespace") -> str:
    """A matcher for these namespaces (DNS labels: nothing in them has to be escaped)."""
    return f'{label}=~"{"|".join(sorted(namespaces))}"'


def of_pods(namespace: str, pods: Iterable[str]) -> str:
    """Matchers for these pods of one namespace."""
    names = "|".join(re.escape(name).replace("\\", "\\\\") for name in sorted(pods))
    return f'namespace="{namespace}",pod=~"{names}"'
