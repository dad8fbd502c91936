"""Which version this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from recist_web.environment import PROJECT_DIR


@cache
def version() -> str:
    """Of the package, else of the file that would make it."""
    try:
        return metadata.version("recist")
    except metadata.PackageNotFoundError:
        lines = (PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        return next((line.split('"')[1] for line in lines if line.startswith("version = ")), "unknown")
