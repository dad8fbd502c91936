"""A real Prometheus scrapes a running sandbox: what it then holds is what the sandbox's own Prometheus holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from tests.cluster.sandbox import SCENARIO, running_sandbox
from tests.parts.prometheus import Prometheus

WAIT_SECONDS = 40.0
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"containers": [{"name": "web", "image": "busybox:1.36", "command": ["sleep", "1000"]}]},
}
#: Values that stand still, so that scrapes at different moments agree.
STEADY = 'sum by (__name__, namespace, pod, node) ({__name__=~"kube_(pod|node|namespace)_.+|machine_.+"})'
MOVING = 'sum by (pod) (rate(container_cpu_usage_seconds_total{pod="web"}[10s]))'


def answer(reply: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], float]:
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in reply["data"]["result"]}


def test_it_can_be_scraped(tmp_path: Path) -> None:
    scenario = tmp_path / "one-pod.yaml"
    scenario.write_text(yaml.safe_dump(SCENARIO | {"metadata": {"name": "one-pod"}, "manifests": [POD]}))
    with running_sandbox(tmp_path, scenario=str(scenario), with_crds=False) as sandbox:
        address = urlsplit(sandbox.prometheus).netloc
        real = Prometheus(tmp_path / "prometheus", scrape={"sandbox": f"{address}/metrics"})
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while True:
                theirs = answer(real.ask("query", query=STEADY)[1])
                url = f"{sandbox.prometheus}/api/v1/query"
                ours = answer(httpx.post(url, data={"query": STEADY}, timeout=60).json())
                moving = answer(real.ask("query", query=MOVING)[1])
                is_same = theirs == ours and any("web" in dict(key).values() for key in theirs)
                if is_same and any(value > 0 for value in moving.values()):
                    break
                different = sorted({*theirs.items()} ^ {*ours.items()})[:10]
                assert time.monotonic() < deadline, f"{moving} and still different: {different}"
                time.sleep(0.5)
            assert real.ask("query", query="up")[1]["data"]["result"][0]["value"][1] == "1"
        finally:
            real.stop()
