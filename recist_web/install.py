"""Installs what ReCiSt needs into .venv: `python3 recist_web/install.py [--dev]` (standard library only; the Makefile
calls it). Safe to repeat, to interrupt, and to run twice at once; does nothing when nothing is missing.

uv does the work, with the hashes of uv.lock. The one on PATH is used when it is recent enough; otherwise a private
one is put into .venv-tools.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
TOOLS = PROJECT / ".venv-tools"
OLDEST_PYTHON = (3, 11)
# The first whose `sync` knows all the options below and the lock file's revision.
OLDEST_UV = (0, 9)


def main(arguments: Sequence[str]) -> None:
    unknown = set(arguments) - {"--dev"}
    if unknown:
        fail(f"Unknown option {', '.join(sorted(unknown))}; there is only --dev.")
    if sys.version_info < OLDEST_PYTHON:
        fail(f"ReCiSt needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable}).")
    dev = "--dev" in arguments
    if is_installed(dev=dev):
        return
    try:
        lock = (PROJECT / ".venv.lock").open("w")
    except OSError as error:
        fail(
            f"ReCiSt installs into {VENV} and cannot write to {PROJECT}: {error.strerror}.\n"
            "Make the checkout writable for you (was it created by another user?), or clone it again."
        )
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed(dev=dev):  # another one may have done it while we waited
            install(dev=dev)


def is_installed(*, dev: bool) -> bool:
    # What is needed for development includes what the demo needs.
    wanted = fingerprint()
    stamps = [stamp(dev=True)] if dev else [stamp(dev=True), stamp(dev=False)]
    return python_of(VENV).exists() and any(path.is_file() and path.read_text() == wanted for path in stamps)


def stamp(*, dev: bool) -> Path:
    return VENV / (".installed-dev" if dev else ".installed")


def fingerprint() -> str:
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def install(*, dev: bool) -> None:
    say("Installing ReCiSt's dependencies into .venv (once; about a minute) ...")
    if VENV.exists() and not works(python_of(VENV)):
        say("The .venv there is incomplete or belongs to a Python that is gone; making it anew.")
        shutil.rmtree(VENV)
    for path in (stamp(dev=True), stamp(dev=False)):
        path.unlink(missing_ok=True)
    command = [*uv_command(), "sync", "--quiet", "--frozen", "--compile-bytecode", "--extra", "embedded"]
    # --inexact: what somebody added to .venv stays there.
    command += ["--inexact", "--python", str(python_of(VENV) if VENV.exists() else sys.executable)]
    command += [] if dev else ["--no-default-groups"]
    environment = {**uv_environment(), "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_NO_PROGRESS": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=False)
    if done.returncode != 0:
        fail("The installation did not finish (see above). Start the same command again: it goes on where it stopped.")
    # Written last: an interrupted installation leaves no stamp, and the next start repairs it.
    stamp(dev=dev).write_text(fingerprint())


def uv_command() -> list[str]:
    """The command that starts uv; installs a private one when there is none, or only an old one."""
    on_path = shutil.which("uv")
    if on_path and uv_version([on_path]) >= OLDEST_UV:
        return [on_path]
    for private in ([str(TOOLS / "bin" / "uv")], [str(TOOLS / "target" / "bin" / "uv")]):
        if uv_version(private) >= OLDEST_UV:
            return private
    say("Getting uv, the installer, into .venv-tools ...")
    return private_uv()


def uv_environment() -> dict[str, str]:
    """For every call of uv: it takes the Python that is there, and finds a place for its cache."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    if not os.access(Path.home(), os.W_OK):
        environment.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    return environment


def private_uv() -> list[str]:
    shutil.rmtree(TOOLS, ignore_errors=True)
    wanted = f"uv>={'.'.join(map(str, OLDEST_UV))}"
    options = ["install", "--quiet", "--disable-pip-version-check", "--no-input"]
    if run([sys.executable, "-m", "venv", str(TOOLS)]) and run([str(python_of(TOOLS)), "-m", "pip", *options, wanted]):
        return [str(TOOLS / "bin" / "uv")]
    # Debian splits ensurepip off into python3-venv; where it is missing, pip itself may still be there.
    target = TOOLS / "target"
    if not run([sys.executable, "-m", "pip", *options, "--target", str(target), wanted]):
        fail(
            "uv, the installer, could not be installed (see above). Without a network nothing can be; otherwise "
            "Python's venv module or pip is missing (Debian, Ubuntu: apt-get install python3-venv), or install uv "
            "yourself."
        )
    return [str(target / "bin" / "uv")]


def uv_version(command: Sequence[str]) -> tuple[int, ...]:
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ()
    found = re.match(r"uv (\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def works(python: Path) -> bool:
    probe = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON!r})"
    try:
        return subprocess.run([str(python), "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def say(line: str) -> None:
    print(line, flush=True)


def fail(message: str) -> NoReturn:
    raise SystemExit(message)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        fail("Interrupted. Start the same command again: it goes on where it stopped.")
