"""The table of the chart's values in docs/installation.md, from values.yaml and values.schema.json.

`python -m tests.chart.values_table` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from recist_web.environment import PROJECT_DIR

CHART = PROJECT_DIR / "helm" / "recist"
PAGE = PROJECT_DIR / "docs" / "installation.md"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


def table() -> str:
    """Raises `LookupError` for a value without a description."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = [
        f"| `{path}` | `{_shown(default)}` | {meaning} |" for path, default, meaning in _leaves(values, schema, schema)
    ]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])


def _leaves(
    values: dict[str, Any], node: dict[str, Any], root: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, str]]:
    for name, default in values.items():
        here = f"{path}.{name}" if path else name
        child = node["properties"][name]
        if "$ref" in child:
            child = {**root["$defs"][child["$ref"].rpartition("/")[2]], **child}
        if "properties" in child and "description" not in child:
            yield from _leaves(default, child, root, here)
        elif "description" in child:
            yield here, default, child["description"].replace("|", "\\|")
        else:
            raise LookupError(f"{here} has no description in values.schema.json")


def _shown(default: Any) -> str:
    if isinstance(default, str):
        return default or '""'
    return json.dumps(default)


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
