"""Benchmarks run by `make bench` only: they measure, and need the machine to themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test` collects everything below tests/; these are for `make bench`."""
    return None if os.environ.get("BENCH") else True
