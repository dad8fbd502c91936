"""The kubeconfig's plug-in for credentials, with an end: the official client would wait for one that hangs for ever."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from kubernetes.config import ConfigException
from kubernetes.config.exec_provider import ExecProvider

#: Plug-ins ask a cloud's sign-in service, or read a file.
PLUGIN_SECONDS = 15.0
#: A person may have to sign in, where there is a terminal to do so.
INTERACTIVE_SECONDS = 120.0
_REASON_LENGTH = 500

_failures = threading.local()


class CredentialPlugin(ExecProvider):
    """As the client's own, but a plug-in that does not end is killed, with all that it has started.

    The client logs a failure and goes on without credentials; `take_failure` says what it was."""

    def run(self, previous_response: Any = None) -> dict[str, Any]:
        """The ``status`` of the plug-in's ExecCredential. Raises `ConfigException`."""
        _failures.text = ""
        try:
            return self._status(self._output())
        except ConfigException as error:
            _failures.text = str(error)
            raise

    def _output(self) -> str:
        has_terminal = sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty()
        seconds = INTERACTIVE_SECONDS if has_terminal else PLUGIN_SECONDS
        spec: dict[str, Any] = {"interactive": has_terminal}
        if self.cluster:
            spec["cluster"] = _cluster_info(self.cluster.value)
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        try:
            process = subprocess.Popen(
                self.args,
                stdout=subprocess.PIPE,
                stderr=None if has_terminal else subprocess.PIPE,
                stdin=None if has_terminal else subprocess.DEVNULL,
                cwd=self.cwd,
                env={**self.env, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
                text=True,
                # A group of its own, so that what it starts ends with it; a terminal is for the first group only.
                start_new_session=not has_terminal,
            )
        except OSError as error:
            raise ConfigException(f"it cannot be started ({error.strerror or error})") from error
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            _kill(process, with_group=not has_terminal)
            raise ConfigException(f"it did not end within {seconds:g} s and was stopped") from error
        if process.returncode:
            said = " ".join((errors or "").split())[-_REASON_LENGTH:]
            raise ConfigException(f"it ended with exit code {process.returncode}{f': {said}' if said else ''}")
        return output

    def _status(self, output: str) -> dict[str, Any]:
        try:
            answer = json.loads(output)
        except ValueError as error:
            raise ConfigException(f"what it printed is not JSON ({error})") from error
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise ConfigException("what it printed is no ExecCredential with a status")
        if answer.get("apiVersion") != self.api_version:
            raise ConfigException(
                f"it answers in {answer.get('apiVersion')}, and the kubeconfig asks for {self.api_version}"
            )
        return status


def take_failure() -> str:
    """Why the last plug-in that this thread ran gave nothing; empty: none has failed. Asking forgets it."""
    text = str(getattr(_failures, "text", ""))
    _failures.text = ""
    return text


def _cluster_info(cluster: dict[str, Any]) -> dict[str, Any]:
    """What ``provideClusterInfo`` promises the plug-in."""
    info = dict(cluster)
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


def _kill(process: subprocess.Popen[str], *, with_group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if with_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2.0)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
