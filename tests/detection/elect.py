"""A candidate for the Lease as a process.

`python -m tests.detection.elect KUBECONFIG NAMESPACE IDENTITY LEASE_SECONDS` prints each change of its leadership."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.detection.leader import LeaderElector, Timing

TIMING = Timing(lease_seconds=2.0, renew_within_seconds=1.2, retry_seconds=0.2)


def main() -> None:
    kubeconfig, namespace, identity, lease_seconds = sys.argv[1:]
    timing = replace(TIMING, lease_seconds=float(lease_seconds))
    elector = LeaderElector(KubernetesCluster(ClusterConfig(Path(kubeconfig))), namespace, identity, timing=timing)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    thread = threading.Thread(target=elector.run, args=(stop,))
    thread.start()
    led = False
    while thread.is_alive():
        if elector.is_leader() != led:
            led = not led
            sys.stdout.write("leads\n" if led else "follows\n")
            sys.stdout.flush()
        stop.wait(0.02)
        thread.join(0.02)


if __name__ == "__main__":
    main()
