"""PostgreSQL by DATABASE_URL, else SQLite in VAR_DIR. The engine runs on both alike."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from recist_web.settings.base import _ENV, VAR_DIR


def database_from_url(url: str) -> dict[str, Any]:
    """`postgres://user:password@host:5432/name?sslmode=require` or `sqlite:///path` as an entry of DATABASES.

    For a Unix socket give its directory as a query: `postgres://user@localhost/name?host=/run/postgresql`.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        # sqlite:///relative and sqlite:////absolute, as everywhere
        return sqlite_database(Path(unquote(parts.path.removeprefix("/"))))
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": options.pop("port", "") or str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **options},
    }


def sqlite_database(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # A transaction takes the write lock when it begins: two processes then wait for each other, instead of
            # both reading and one failing at once with "database is locked" when it comes to write.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON",
        },
        # Tests run several threads and processes on one database, which an in-memory one cannot do.
        "TEST": {"NAME": path.with_name(f"test-{path.name}")},
    }


DATABASES = {
    "default": database_from_url(_ENV.DATABASE_URL.get_secret_value())
    if _ENV.DATABASE_URL
    else sqlite_database(VAR_DIR / "db.sqlite3")
}
