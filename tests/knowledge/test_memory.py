from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from knowledge.embeddings import (
    Embedder,
    HashingEmbedder,
    HybridEmbedder,
    WordLlamaEmbedder,
    default_embedder,
    from_bytes,
    to_bytes,
)
from knowledge.index import Index, IndexUnavailable
from knowledge.memory import TriedStrategy, recall, remember, success, successes
from knowledge.models import KnowledgeEntry, Trial
from knowledge.point import Point
from knowledge.statistics import SuccessCount
from knowledge.tasks import index_pending
from tests.knowledge.conftest import experience

pytestmark = pytest.mark.django_db

CRASH = (
    "BadRollout: container api of shop/checkout exits with 1 since the rollout to image api:2.4, panic: no such table"
)
OOM = "MemoryLeak: container cart was OOMKilled, its memory had grown toward the limit of 256Mi for an hour"
IMAGE = "ImageNotFound: registry answers manifest unknown for shop/web:9.9-nope, ImagePullBackOff"


def _remember_three() -> None:
    remember(experience("he-crash", CRASH))
    remember(experience("he-oom", OOM, symptom="OOMKilled", cause="MemoryLeak", namespace="other"))
    remember(experience("he-image", IMAGE, symptom="ImagePullBackOff", cause="ImageNotFound"))


def test_the_same_event_twice_is_one_entry(qdrant: Index) -> None:
    first = remember(experience("he-1", CRASH))
    assert remember(experience("he-1", "another text")) == first
    entry = KnowledgeEntry.objects.get()
    assert (entry.ref, entry.text, entry.trials.count()) == (first, CRASH, 2)


@pytest.mark.parametrize("which", ["qdrant", "no_qdrant"])
def test_the_most_similar_event_comes_first(which: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(which)
    _remember_three()
    index_pending()
    found = recall("OOMKilled: container orders reached its memory limit of 512Mi after growing for two hours")
    assert found[0].event_ref == "he-oom"
    assert len(found) == 3
    assert found[0].similarity > found[1].similarity
    assert found[0].strategies[1] == TriedStrategy("rollback", "succeeded", actions=("rollback",))
    assert found[0].worked == "rollback"


@pytest.mark.parametrize("which", ["qdrant", "no_qdrant"])
def test_filters_match_exactly(which: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(which)
    _remember_three()
    index_pending()
    assert {r.event_ref for r in recall(OOM, namespace="shop")} == {"he-crash", "he-image"}
    assert [r.event_ref for r in recall(OOM, cause="ImageNotFound")] == ["he-image"]
    assert recall(OOM, cluster="elsewhere") == []
    assert len(recall(OOM, limit=1)) == 1


def test_qdrant_down_queues_and_a_later_run_indexes(qdrant: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: object, **kwargs: object) -> None:
        raise IndexUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(qdrant, "upsert", down)
        _remember_three()
        assert index_pending() == 0
    assert KnowledgeEntry.objects.filter(indexed_at__isnull=True).count() == 3
    assert recall(OOM)[0].event_ref == "he-oom"  # what is queued is found all the same
    assert index_pending() == 3
    assert index_pending() == 0
    assert not KnowledgeEntry.objects.filter(indexed_at__isnull=True).exists()
    vector = default_embedder().embed([OOM])[0]
    hits = qdrant.search(vector, model=default_embedder().name, where={}, limit=5)
    assert len(hits) == 3
    assert hits[0][0] == KnowledgeEntry.objects.get(event_ref="he-oom").pk
    assert hits[0][1] == pytest.approx(1.0, abs=1e-4)


def test_an_entry_gone_from_the_database_is_not_recalled(qdrant: Index) -> None:
    _remember_three()
    index_pending()
    KnowledgeEntry.objects.filter(event_ref="he-oom").delete()
    assert "he-oom" not in {r.event_ref for r in recall(OOM)}


def test_vectors_of_another_model_are_embedded_again(qdrant: Index) -> None:
    _remember_three()
    hashing = HashingEmbedder()
    KnowledgeEntry.objects.update(
        embedding=to_bytes(hashing.embed([CRASH])[0]), embedding_model=hashing.name, indexed_at="2026-01-01T00:00Z"
    )
    assert recall(OOM) == []  # never compared with ours
    assert index_pending() == 3
    assert recall(OOM)[0].event_ref == "he-oom"


def test_an_empty_memory_is_silent(no_qdrant: Index) -> None:
    assert recall("anything") == []
    remember(experience("he-1", CRASH))
    assert recall("   ") == []


def test_success_counts_here_and_elsewhere(no_qdrant: Index) -> None:
    failed, worked = TriedStrategy("rollback", "undone"), TriedStrategy("rollback", "succeeded")
    refused = TriedStrategy("rollback", "refused")
    for number, (namespace, tried) in enumerate(
        [("shop", worked), ("shop", worked), ("shop", failed), ("bank", failed), ("bank", refused)]
    ):
        remember(experience(f"he-{number}", CRASH, namespace=namespace, strategies=(tried,)))
    count = success("BadRollout", "rollback", namespace="shop")
    assert (count.here_succeeded, count.here_tried, count.elsewhere_succeeded, count.elsewhere_tried) == (2, 3, 0, 1)
    assert str(count) == "worked 2 of 3 here, 0 of 1 elsewhere"
    assert success("BadRollout", "restart", namespace="shop") == SuccessCount()
    assert success("Other", "rollback").tried == 0
    both = successes("BadRollout", ["rollback", "restart"], namespace="bank")
    assert both["rollback"].here_tried == 1
    assert Trial.objects.count() == 4


@pytest.mark.parametrize("embedder", [HashingEmbedder(), WordLlamaEmbedder(), HybridEmbedder()], ids=lambda e: e.name)
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_embeddings_are_unit_vectors_that_survive_storage(embedder: Embedder, texts: list[str]) -> None:
    vectors = embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dims)
    for vector in vectors:
        length = float(np.linalg.norm(vector))
        assert length == pytest.approx(1.0, abs=1e-4) or length == 0.0
        assert np.array_equal(from_bytes(to_bytes(vector)), vector)


def test_the_embedder_is_offline_and_the_one_that_measured_best() -> None:
    assert default_embedder().name == HybridEmbedder.name


def test_only_one_process_owns_the_embedded_index(tmp_path: Path) -> None:
    path = tmp_path / "qdrant"
    vector = np.ones(4, dtype=np.float32) / 2
    owner = Index(path=path)
    owner.upsert([Point(1, vector, {"cause": "x"})], model="m", dims=4)
    code = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "recist_web.settings"
from pathlib import Path
import numpy as np
from knowledge.index import Index, IndexUnavailable
try:
    Index(path=Path({str(path)!r})).search(np.ones(4, dtype=np.float32), model="m", where={{}}, limit=1)
except IndexUnavailable:
    sys.exit(7)
"""
    try:
        assert subprocess.run([sys.executable, "-c", code], timeout=180, check=False).returncode == 7
        assert owner.search(vector, model="m", where={"cause": "x"}, limit=3)[0][0] == 1
        assert owner.search(vector, model="m", where={"cause": "y"}, limit=3) == []
    finally:
        owner.close()


def test_after_a_failure_the_index_is_left_alone_for_a_while() -> None:
    index = Index(url="http://127.0.0.1:9")
    vector = np.ones(4, dtype=np.float32)
    with pytest.raises(IndexUnavailable):
        index.search(vector, model="m", where={}, limit=1)
    with pytest.raises(IndexUnavailable, match="a moment ago"):
        index.search(vector, model="m", where={}, limit=1)


def test_importing_the_memory_loads_neither_qdrant_nor_a_model() -> None:
    code = (
        "import django, sys; django.setup(); import knowledge.memory, knowledge.tasks, knowledge.admin; "
        "sys.exit(bool({'qdrant_client', 'wordllama', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=180, check=False).returncode == 0


def test_entries_keep_when_it_happened(no_qdrant: Index) -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    remember(experience("he-1", CRASH, occurred_at=at, duration_seconds=41.5))
    assert (recall(CRASH)[0].occurred_at, recall(CRASH)[0].duration_seconds) == (at, 41.5)
