"""A Qdrant server behind the memory: found again, filtered, never mixed, killed in between, down and up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from knowledge.embeddings import default_embedder
from knowledge.forgetting import forget_expired
from knowledge.index import Index, IndexUnavailable
from knowledge.memory import recall, remember
from knowledge.models import KnowledgeEntry
from knowledge.point import Point
from knowledge.tasks import index_pending
from recist_web.environment import PROJECT_DIR
from tests.knowledge.conftest import experience
from tests.knowledge.qdrant_server import State, serving
from tests.knowledge.test_memory import CRASH, IMAGE, OOM


@pytest.fixture
def server() -> Iterator[tuple[str, State]]:
    with serving() as started:
        yield started


def three() -> None:
    now = timezone.now()
    remember(experience("he-crash", CRASH, occurred_at=now))
    remember(experience("he-oom", OOM, cause="MemoryLeak", namespace="other", occurred_at=now))
    remember(experience("he-image", IMAGE, cause="ImageNotFound", occurred_at=now))


@pytest.mark.django_db
def test_a_server_answers_like_the_embedded_index(
    server: tuple[str, State], use_index: Callable[[Index], Index]
) -> None:
    url, state = server
    use_index(Index(url=url))
    three()
    assert index_pending() == 3
    assert len(state.points()) == 3
    assert recall(OOM)[0].event_ref == "he-oom"
    assert [one.event_ref for one in recall(OOM, namespace="shop", cause="ImageNotFound")] == ["he-image"]
    assert any(request.endswith("/points/query") for request in state.requests)
    KnowledgeEntry.objects.filter(event_ref="he-oom").update(expires_at=timezone.now())
    assert forget_expired() == 1
    assert len(state.points()) == 2


def test_vectors_of_two_models_or_lengths_never_meet(server: tuple[str, State]) -> None:
    url, state = server
    index = Index(url=url)
    vector = np.ones(4, dtype=np.float32) / 2
    index.upsert([Point(1, vector, {})], model="one", dims=4)
    index.upsert([Point(2, vector, {})], model="two", dims=4)
    assert index.search(vector, model="one", where={}, limit=9) == [(1, pytest.approx(1.0))]
    assert set(state.collections) == {"recist-one-4", "recist-two-4"}
    state.collections["recist-three-4"] = {"size": 8, "points": {}}  # somebody else's, by that name
    with pytest.raises(IndexUnavailable, match="8 dimensions, not 4"):
        index.search(vector, model="three", where={}, limit=1)
    index.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["before", "after"])
def test_killed_between_database_and_qdrant_nothing_is_lost_and_nothing_twice(
    server: tuple[str, State], point: str, use_index: Callable[[Index], Index]
) -> None:
    url, state = server
    use_index(Index(url="http://127.0.0.1:9"))  # this process indexes nothing
    three()
    environment = {**os.environ, "QDRANT_URL": url, "QDRANT_PATH": "", "DJANGO_SETTINGS_MODULE": "recist_web.settings"}
    settings = connection.settings_dict
    if connection.vendor == "postgresql":
        environment["DATABASE_URL"] = (
            f"postgres://{settings['USER']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
        )
    else:
        environment["DATABASE_URL"] = f"sqlite:///{settings['NAME']}"

    def work(at: str) -> int:
        command = [sys.executable, "-m", "tests.knowledge.dying_worker", at]
        done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, timeout=90, check=False)
        if at == "never":
            assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.returncode

    assert work(point) == -signal.SIGKILL
    assert KnowledgeEntry.objects.filter(indexed_at__isnull=True).count() == 3  # all are still queued
    assert len(state.points()) == (0 if point == "before" else 2)
    assert len(recall(OOM)) == 3  # and all are found meanwhile
    assert work("never") == 0
    assert sorted(state.points()) == sorted(KnowledgeEntry.objects.values_list("pk", flat=True))
    assert not KnowledgeEntry.objects.filter(indexed_at__isnull=True).exists()


@pytest.mark.django_db
def test_a_server_that_was_lost_is_filled_again(use_index: Callable[[Index], Index]) -> None:
    from knowledge import rebuilding

    with serving() as (url, _):
        use_index(Index(url=url)).close()
        three()
        index_pending()
    with serving() as (url, state):
        use_index(Index(url=url))
        rebuilding.start()
        assert index_pending() == 3
        assert len(state.points()) == 3
        assert state.collections[f"recist-hybrid-wordllama-words-{default_embedder().dims}"]
