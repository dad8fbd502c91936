"""Fixtures every test may use; the parts behind them are in tests/parts/."""

from __future__ import annotations

import pytest

from tests.parts.plugin import Parts, parts


@pytest.fixture(scope="session")
def test_parts() -> Parts:
    """This session's PostgreSQL, Valkey and directory."""
    return parts


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, test_parts: Parts) -> None:
    """pytest-django asks for this before it creates the database: the server has to run by then."""
    if not test_parts.on_sqlite:
        test_parts.need_postgres()
