"""Snapshots of the sandbox in trouble: ``python -m tests.diagnosis.capture DIRECTORY FAULT…``.

Each FAULT is YAML of a scenario's step without its time, e.g. ``{fault: cpu-hog, params: {namespace: shop, workload:
orders}}``, or ``{}`` for a good day; it is written as DIRECTORY/<number>.tar.gz, what a person would collect with
kubectl and Prometheus' API.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

#: Long enough for a baseline, and for a fault to show.
BEFORE_SECONDS, AFTER_SECONDS, STEP_SECONDS = 50, 60, 10
_SKIPPED_METRICS = "apiserver_.*|go_.*|prometheus_.*|scrape_.*|process_.*|.*_bucket|up|kube_.*"


def capture(kubeconfig: Path, prometheus: str, path: Path) -> None:
    """Write what the cluster is like now."""
    from healing.cluster.config import ClusterConfig
    from healing.cluster.kubernetes import KubernetesCluster
    from healing.cluster.prometheus import Prometheus
    from healing.diagnosis.collect.live import CLUSTER_WIDE, NAMESPACED
    from healing.ports.errors import SourceError

    cluster, metrics = KubernetesCluster(ClusterConfig(kubeconfig)), Prometheus(prometheus)
    files: dict[str, bytes] = {}
    for kind in (*NAMESPACED, *CLUSTER_WIDE, "PersistentVolume", "Secret"):
        try:
            items = cluster.list(kind).items
        except SourceError:
            continue
        for secret in items if kind == "Secret" else ():
            secret["data"] = dict.fromkeys(secret.get("data") or {}, "")
        files[f"{kind.lower()}.json"] = json.dumps({"kind": "List", "apiVersion": "v1", "items": items}).encode()
        for pod in items if kind == "Pod" else ():
            meta = pod["metadata"]
            for status in pod.get("status", {}).get("containerStatuses", []):
                for previous in (False, True) if status.get("restartCount") else (False,):
                    suffix = ".previous.log" if previous else ".log"
                    try:
                        text = cluster.pod_logs(
                            meta["namespace"], meta["name"], status["name"], previous=previous, tail_lines=60
                        )
                    except SourceError:
                        continue
                    files[f"logs/{meta['namespace']}/{meta['name']}/{status['name']}{suffix}"] = text.encode()
    end = datetime.now(UTC)
    span = timedelta(seconds=BEFORE_SECONDS + AFTER_SECONDS)
    found = metrics.query_range(
        f'{{__name__=~".+",__name__!~"{_SKIPPED_METRICS}"}}', start=end - span, end=end, step_seconds=STEP_SECONDS
    )
    series = [{"metric": dict(s.labels), "values": [[t, f"{v:.12g}"] for t, v in s.points]} for s in found]
    files["metrics.json"] = json.dumps(series, separators=(",", ":")).encode()
    write(path, files)


def write(path: Path, files: dict[str, bytes]) -> None:
    """A .tar.gz that is the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            archive.addfile(info, io.BytesIO(files[name]))
    path.write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))


def main(directory: Path, faults: list[dict[str, Any]]) -> None:
    """One sandbox after the other."""
    from tests.cluster.sandbox import running_sandbox

    for number, fault in enumerate(faults):
        with tempfile.TemporaryDirectory() as scratch:
            scenario: dict[str, Any] = {
                "apiVersion": "sandbox.recist.io/v1",
                "kind": "Scenario",
                "metadata": {"name": f"capture-{number}"},
                "extends": str(Path(__file__).parents[2] / "healing/sandbox/scenarios/shop.yaml"),
            }
            if fault:
                scenario["timeline"] = [{"at": f"{BEFORE_SECONDS}s", "id": "fault", **fault}]
            path = Path(scratch) / "scenario.yaml"
            path.write_text(yaml.safe_dump(scenario))
            with running_sandbox(Path(scratch), scenario=str(path), with_crds=False) as sandbox:
                time.sleep(BEFORE_SECONDS + AFTER_SECONDS)
                capture(sandbox.kubeconfig, sandbox.prometheus, directory / f"{number}.tar.gz")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")
    import django

    django.setup()
    main(Path(sys.argv[1]), [yaml.safe_load(text) for text in sys.argv[2:]])
