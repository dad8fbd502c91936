"""kubectl against one kubeconfig."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.parts.tools import tool


class Kubectl:
    """`kubectl("get", "pods")` returns what it prints."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._program = tool("kubectl")

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """AssertionError with its words when it fails."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """The same, for those who look at its exit code and errors themselves."""
        command = [str(self._program), "--kubeconfig", str(self.kubeconfig), *arguments]
        environment = {**os.environ, "KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache")}
        return subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, check=False, timeout=timeout, env=environment
        )
