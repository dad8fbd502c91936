"""YAML that people type: read strictly. What Kubernetes tools read in different ways is refused in words."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

MAX_CHARACTERS = 200_000
_MAX_DEPTH = 40


class BadYaml(ValueError):
    """What is wrong, and in which line."""


class _Strict(yaml.SafeLoader):
    """Plain data only: no key twice, no aliases (a few lines of them can mean gigabytes), no bottomless nesting."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise BadYaml(f"{_line(event)}aliases (*name) are not read: write the value out")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise BadYaml(f"{_line(event)}nested too deeply")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise BadYaml(f"{_line(key)}{name} is written twice")
            seen.add(name)
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """The value; None for an empty text. Raises `BadYaml`."""
    if len(text) > MAX_CHARACTERS:
        raise BadYaml(f"longer than {MAX_CHARACTERS:,} characters")
    try:
        return yaml.load(text, Loader=_Strict)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BadYaml(f"{where}{error.problem or error.context or 'no YAML'}") from error
    except yaml.YAMLError as error:
        raise BadYaml(f"no YAML: {error}") from error
    except BadYaml:
        raise
    except (
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # e.g. 2026-99-99, which is a date to YAML
        raise BadYaml(f"a value cannot be read: {error}") from error


def _line(thing: Any) -> str:
    mark = getattr(thing, "start_mark", None)
    return f"line {mark.line + 1}: " if mark is not None else ""
