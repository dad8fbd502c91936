"""The database of an embedded tree, brought up to date before any process uses it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection, connections

from recist_web.supervisor.errors import CannotStartError


def keep_in(directory: Path) -> None:
    """From now on this process' embedded database is the one in `directory`, as VAR_DIR says to the others. A database
    of one's own (DATABASE_URL) stays what it is."""
    if settings.ENVIRONMENT.values.DATABASE_URL is None:
        # As Django's test runner does it: every connection that is opened later reads this.
        connections.settings["default"]["NAME"] = directory / "db.sqlite3"


def migrate() -> None:
    """Apply what is missing. CannotStartError when the database cannot be used."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except (OperationalError, sqlite3.DatabaseError) as error:
        raise CannotStartError(
            f"The database {connection.settings_dict['NAME']} cannot be used: {error}\n"
            "If it is the embedded one and its history may be lost, delete the file and start again."
        ) from error
    finally:
        # The processes that follow open their own; ours would only hold a lock.
        connection.close()
