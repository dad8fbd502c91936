"""`make audit`: are there advisories for what is locked? Asks pip-audit; no network is said and no failure.

Exit code 0: none, or nobody could be asked; 1: some, listed with the versions that are right.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from recist_web.environment import PROJECT_DIR

LOCK = PROJECT_DIR / "uv.lock"
TIMEOUT_SECONDS = 300
#: What pip-audit says where it could not ask anybody.
_OFFLINE = (
    "ConnectionError",
    "ConnectTimeout",
    "Max retries exceeded",
    "Failed to establish a new connection",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Could not connect",
    "ProxyError",
    "SSLError",
    "ReadTimeout",
)


def locked(lock: Path = LOCK) -> list[str]:
    """``name==version`` of everything that the lock file holds from an index."""
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    return sorted(f"{p['name']}=={p['version']}" for p in packages if "registry" in p.get("source", {}))


def main(lock: Path = LOCK) -> int:
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory) / "requirements.txt"
        requirements.write_text("\n".join(locked(lock)) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements)]
        command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "10"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            sys.stdout.write("Advisories could not be asked for: no answer in time. Nothing is known.\n")
            return 0
    said = f"{done.stdout}{done.stderr}"
    if done.returncode != 0 and not done.stdout.strip() and any(sign in said for sign in _OFFLINE):
        sys.stdout.write("Advisories could not be asked for: there is no network. Nothing is known.\n")
        return 0
    sys.stdout.write(said.strip() + "\n")
    return 1 if done.returncode else 0


if __name__ == "__main__":
    raise SystemExit(main())
