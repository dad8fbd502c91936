"""`manage.py diagnose` without a language model: processor time by the size of the snapshot, reading included."""

from __future__ import annotations

import time

from recist_web.bench import snapshots
from recist_web.bench.section import Bench, Number, Result, p50_p95, quantile

TITLE = "Diagnosis by the size of the cluster"
#: p95 of a snapshot of 200 pods, and how much more a pod may cost among 2,000 of them
_AT_200_PODS_SECONDS, _GROWTH = 2.0, 2.5


def run(bench: Bench) -> Result:
    """Several rounds for each size; the cause has to be the right one."""
    from healing.diagnosis.collect.files import read_snapshot  # noqa: PLC0415 - analyzers only where they are measured
    from healing.diagnosis.reasoner import diagnose  # noqa: PLC0415

    rounds = bench.pick(full={20: 20, 200: 10, 2000: 3}, smoke={20: 2, 60: 1})
    result = Result(parameters={"rounds_by_pods": ", ".join(f"{n} of {pods}" for pods, n in rounds.items())})
    each: dict[int, float] = {}
    for pods, count in rounds.items():
        path, ill = snapshots.write(bench.directory / str(pods), pods)
        took = []
        for _ in range(count):
            started = time.process_time()
            best = diagnose(read_snapshot(path)).best
            took.append(time.process_time() - started)
            if best is None or (best.cause, best.object.name) != ("BadRollout", ill):
                named = f"{best.cause} of {best.object}" if best else "nothing"
                result.failures.append(f"{pods} pods: it named {named} instead of BadRollout of Deployment {ill}.")
        limit = _AT_200_PODS_SECONDS if pods == 200 else None
        result.numbers += p50_p95(f"{pods} pods", took, "s of CPU", p95_at_most=limit)
        each[pods] = 1000 * (quantile(took, 0.5) or 0.0) / pods
    for pods, milliseconds in each.items():
        most = _GROWTH * each[200] if pods == 2000 else None
        result.numbers.append(Number(f"a pod, of {pods}", milliseconds, "ms of CPU", most))
    return result
