"""What ``kubectl describe`` prints about pods: printed by the real kubectl, then made comparable."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.ports import Object
from tests.parts.kubectl import Kubectl
from tests.sandbox_api.running import ADMIN, RunningApi

_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = re.compile(r"\b10\.\d+\.\d+\.\d+")
_DIGEST = re.compile(r"(containerd://|sha256:)[0-9a-f]{64}")
_TIME = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")
_HASH = re.compile(r"pod-template-hash=\w+")
_TOKEN = re.compile(r"kube-api-access-[a-z0-9]{5}")
#: age (and count) of an event: ``5s``, ``20s (x2 over 23s)``
_AGE = re.compile(r"^(  (?:Normal|Warning)\s+\S+\s+)(?:<unknown>|\d+[smhd]\S*(?: \(x\d+ over \S+\))?)\s+")
#: the traces of the recorded build that are not Kubernetes' own
_FOREIGN = re.compile(r"    ConfigMapName: +openshift-service-ca\.crt\n    (?:ConfigMap)?Optional: +\S+\n")


class Museum:
    """An API server that only shows objects put there, in namespaces by scenario."""

    def __init__(self, directory: Path) -> None:
        self._api = RunningApi()
        self._api.__enter__()
        self._lock = threading.Lock()
        self._kubectl = Kubectl(self._api.kubeconfig(directory))

    def close(self) -> None:
        self._api.__exit__(None, None, None)

    def show(self, namespace: str, objects: Iterable[tuple[str, Object]]) -> None:
        """``objects``: (resource, object), kept as they are but for their namespace."""
        self._api.call(lambda: _put(self._api.server, namespace, list(objects)))

    def describe_pods(self) -> dict[str, list[str]]:
        """Descriptions of all pods by namespace, one kubectl for all of them."""
        text = self._kubectl("describe", "pods", "--all-namespaces")
        found: dict[str, list[str]] = {}
        for part in re.split(r"\n\n+(?=Name: )", text.strip() + "\n"):
            namespace = re.search(r"^Namespace: +(\S+)$", part, re.MULTILINE)
            assert namespace is not None, part
            found.setdefault(namespace.group(1), []).append(part)
        return found

    def get_pods(self) -> dict[str, list[tuple[str, ...]]]:
        """Rows of ``kubectl get pods``: (ready, status, restarts) by namespace."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for line in self._kubectl("get", "pods", "--all-namespaces", "--no-headers").splitlines():
            namespace, _, ready, status, restarts, *_ = line.split()
            found.setdefault(namespace, []).append((ready, status, restarts))
        return found


def _put(server: ApiServer, namespace: str, objects: list[tuple[str, Object]]) -> None:
    if server.get("namespaces", None, namespace) is None:
        server.create("namespaces", None, {"metadata": {"name": namespace}}, user=ADMIN)
    for resource, item in objects:
        shown = copy.deepcopy(item)
        shown["metadata"]["namespace"] = namespace
        if resource == "events":
            shown["involvedObject"]["namespace"] = namespace
        # Straight into the table: nobody hears of it, so no garbage collector misses the owners.
        server.store.table(resource).put((namespace, shown["metadata"]["name"]), shown)


@dataclass(frozen=True)
class Description:
    """A pod's description without what is random: names' suffixes, addresses, digests, times, ages."""

    lines: tuple[str, ...]
    #: (type, reason, component, message), sorted
    events: tuple[str, ...]


def plain(text: str, rename: Callable[[str], str]) -> Description:
    text = _FOREIGN.sub("", text)
    for pattern, word in ((_UID, "UID"), (_DIGEST, r"\1DIGEST"), (_TIME, "TIME"), (_TOKEN, "kube-api-access-X"),
                          (_HASH, "pod-template-hash=HASH")):  # fmt: skip
        text = pattern.sub(word, text)
    body, _, events = rename(_ADDRESS.sub("IP", text)).partition("\nEvents:")
    lines = tuple(re.sub(r"\s+", " ", line.rstrip()) for line in body.splitlines() if not line.startswith("Node:"))
    shown = (_AGE.sub(r"\1", line) for line in events.splitlines()[3:])
    return Description(lines, tuple(sorted({re.sub(r"\s+", " ", line).strip() for line in shown if line.strip()})))
