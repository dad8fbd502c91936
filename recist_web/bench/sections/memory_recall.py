"""Recall among many entries, asked as the web process asks: a task for the worker, its answer through Valkey."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from recist_web.bench.product import Product, running
from recist_web.bench.section import Bench, Number, Result, p50_p95
from recist_web.supervisor import tree

TITLE = "Recall from the memory, through the worker"
_RECALL_SECONDS = 0.15
_BATCH = 2_000
_NAMESPACES, _DISTINCT = 40, 400

#: Run beside the product with its environment, as the web process has it.
_ASK = """
import json, sys, time
import django; django.setup()
from knowledge import asking
took, worded = [], 0
for text, where in json.loads(sys.stdin.read()):
    started = time.perf_counter()
    found = asking.search(text, where, limit=10, timeout_seconds=10)
    took.append(time.perf_counter() - started)
    worded += not found.by_meaning or not found.hits
print(json.dumps([took, worded]))
"""


def run(bench: Bench) -> Result:
    """Fill the memory, wait for the index, ask."""
    entries, questions = bench.pick(full=100_000, smoke=300), bench.pick(full=300, smoke=10)
    result = Result(parameters={"entries": entries, "questions": questions, "namespaces": _NAMESPACES})
    with running(bench, nodes=1) as product:
        _ask(product, [("warm up", {})])
        before = _resident_mb(product)
        _fill(entries, bench)
        product.wait_for(_is_indexed, "everything is indexed", bench.pick(full=900, smoke=60))
        texts = [_text(number * 7 + 3) for number in range(questions)]
        wide = _ask(product, [(text, {}) for text in texts])
        narrow = _ask(product, [(text, {"namespace": f"ns-{n % _NAMESPACES}"}) for n, text in enumerate(texts)])
        after = _resident_mb(product)
    result.numbers = [
        *p50_p95("recall, all entries", wide[0], p95_at_most=_RECALL_SECONDS),
        *p50_p95("recall, one namespace", narrow[0], p95_at_most=_RECALL_SECONDS),
        Number("the worker's memory with the index", after, "MB"),
        Number("of it for the entries", after - before, "MB"),
    ]
    if wide[1] + narrow[1]:
        result.failures.append(f"{wide[1] + narrow[1]} questions were not answered by meaning.")
    return result


def _fill(count: int, bench: Bench) -> None:
    import numpy as np  # noqa: PLC0415 - measured parts are imported where they run
    from django.utils import timezone  # noqa: PLC0415

    from knowledge import embeddings  # noqa: PLC0415
    from knowledge.models import KnowledgeEntry  # noqa: PLC0415

    embedder = embeddings.default_embedder()
    bases = embedder.embed([_text(number) for number in range(_DISTINCT)])
    noise, now = np.random.default_rng(7), timezone.now()
    for at in range(0, count, _BATCH):
        numbers = range(at, min(at + _BATCH, count))
        vectors = bases[[n % _DISTINCT for n in numbers]] + 0.02 * noise.standard_normal((len(numbers), embedder.dims))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        KnowledgeEntry.objects.bulk_create(
            [
                KnowledgeEntry(
                    event_ref=f"bench-{number}",
                    namespace=f"ns-{number % _NAMESPACES}",
                    symptom="CrashLoopBackOff",
                    cause=f"Cause{number % 50}",
                    text=_text(number),
                    outcome="healed",
                    occurred_at=now - timedelta(minutes=number),
                    embedding=embeddings.to_bytes(vector.astype(np.float32)),
                    embedding_model=embedder.name,
                    embedding_dims=embedder.dims,
                )
                for number, vector in zip(numbers, vectors, strict=True)
            ]
        )
    bench.say(f"{count} entries are on record; the worker indexes them")


def _text(number: int) -> str:
    faults = (
        "container was OOMKilled after its memory grew to the limit",
        "manifest unknown: the image tag does not exist in the registry",
        "readiness probe failed with status 503 while the cache warms",
        "lookup of the service failed: no such host",
        "too many connections to the database, the pool is exhausted",
        "x509: certificate has expired or is not yet valid",
        "no space left on device while writing the log segment",
        "exit code 1 right after the rollout, module not found",
    )
    return f"svc-{number % 97} {faults[number % len(faults)]} in release {number % 50}"


def _is_indexed() -> bool:
    from knowledge.models import KnowledgeEntry  # noqa: PLC0415

    return not KnowledgeEntry.objects.filter(indexed_at__isnull=True).exists()


def _ask(product: Product, questions: list[tuple[str, dict[str, str]]]) -> tuple[list[float], int]:
    done = subprocess.run(
        tree.python("-c", _ASK),
        input=json.dumps(questions),
        env={**product.tree.environment, "DJANGO_SETTINGS_MODULE": "recist_web.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    answer: Any = json.loads(done.stdout.splitlines()[-1])
    return answer[0], answer[1]


def _resident_mb(product: Product) -> float:
    pid = product.tree.supervisor.child("worker").pid
    line = next(t for t in Path(f"/proc/{pid}/status").read_text().splitlines() if t.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
