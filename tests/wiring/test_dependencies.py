"""What the code imports is what pyproject.toml installs: a package that is there by chance is not there elsewhere."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from recist_web.environment import PROJECT_DIR

OURS = {"healing", "knowledge", "recist_web", "tests"}
# Parts of Django and Celery that have packages of their own.
COME_WITH_OTHERS = {"asgiref", "kombu"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def declared() -> set[str]:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    lines += project["dependency-groups"]["dev"]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_package_is_declared() -> None:
    distributions = packages_distributions()
    known = declared()
    missing = {}
    for root in OURS:
        for path in (PROJECT_DIR / root).rglob("*.py"):
            for module in imported(path):
                top = module.partition(".")[0]
                if top in sys.stdlib_module_names or top in OURS:
                    continue
                owners = {normal(name) for name in distributions.get(top, [])} or {f"nothing installed has {top}"}
                if not owners & (known | COME_WITH_OTHERS):
                    missing[module] = (str(path.relative_to(PROJECT_DIR)), sorted(owners))
    assert missing == {}
