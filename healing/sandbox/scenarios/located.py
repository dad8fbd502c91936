"""YAML that remembers where each value stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Path_ = tuple[str | int, ...]


class Located:
    """One YAML document and the line of each of its values."""

    def __init__(self, file: Path, data: Any, lines: dict[Path_, int]) -> None:
        self.file = file
        self.data = data
        self._lines = lines

    def where(self, path: Path_) -> str:
        """``file:line`` of a value, or of the nearest one around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.file}:{self._lines.get(path, 1)}"


# Safe, with duplicate keys refused: the second one would silently win.


class _Loader(yaml.SafeLoader):
    """In Python: its messages say what is wrong in a person's words."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """In C, where PyYAML was built with it: an evaluation reads a hundred files."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.MarkedYAMLError(None, None, f"{key!r} cannot be a key", key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


for _each in (_Loader, _FastLoader):
    _each.add_constructor("tag:yaml.org,2002:map", _mapping)


def read(file: Path) -> list[Located]:
    """All documents of a file. Raises OSError, or ValueError with ``file:line: reason``."""
    text = file.read_text(encoding="utf-8")
    try:
        return _read(file, text, _FastLoader)
    except (yaml.YAMLError, RecursionError):
        pass  # once more, for the message
    try:
        return _read(file, text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{file}:{line}: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{file}:1: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{file}:1: nested too deep, or an alias of itself") from error


def _read(file: Path, text: str, loader_class: type[Any]) -> list[Located]:
    result: list[Located] = []
    loader = loader_class(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            data = loader.construct_document(node)
            if data is None:
                continue
            lines: dict[Path_, int] = {}
            _lines_of(node, (), lines)
            result.append(Located(file, data, lines))
    finally:
        loader.dispose()
    return result


def _lines_of(node: yaml.Node, path: Path_, lines: dict[Path_, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _lines_of(value, (*path, str(key.value)), lines)
            lines[(*path, str(key.value))] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _lines_of(value, (*path, index), lines)
