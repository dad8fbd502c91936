"""The memory's pages and API, through HTTP: who sees what, what a form does, and that nothing of a text is believed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from healing import engine
from healing.models import HealingEvent, Policy, Role, RoleBinding
from knowledge import asking, topics
from knowledge.index import Index
from knowledge.memory import remember
from knowledge.models import KnowledgeEntry, Notice, Postmortem, Topic
from knowledge.tasks import answer, index_pending
from tests.engine.story import fault
from tests.knowledge.conftest import experience
from tests.knowledge.test_memory import CRASH, IMAGE, OOM

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def entries(qdrant: Index) -> dict[str, str]:
    now = timezone.now()
    refs = {
        "crash": remember(experience("he-crash", CRASH, occurred_at=now, duration_seconds=41.0)),
        "oom": remember(experience("he-oom", OOM, cause="MemoryLeak", namespace="bank", occurred_at=now)),
        "image": remember(
            experience("he-image", f"{IMAGE} <script>alert(1)</script>", cause="ImageNotFound", occurred_at=now)
        ),
    }
    index_pending()
    topics.recompute()
    return refs


def signed_in(name: str = "ana", *, role: str = Role.OPERATOR, namespace: str = "") -> Client:
    user = User.objects.create_user(name)
    RoleBinding.objects.create(user=user, role=role, namespace=namespace)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def with_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task runs where the message is sent; its answer still goes through Valkey."""

    def send(name: str, args: Any = (), **_: Any) -> None:
        if name == "knowledge.tasks.answer":
            answer(*args)

    monkeypatch.setattr(asking.current_app, "send_task", send)


def test_a_search_by_meaning_asks_the_worker(with_worker: None, entries: dict[str, str]) -> None:
    page = signed_in().get("/knowledge/", {"q": "pod ran out of memory, limit reached, OOMKilled"}).content.decode()
    assert page.index(entries["oom"]) < page.index(entries["crash"])
    assert "alike" in page
    assert "No worker answered" not in page
    assert "<script>alert" not in page


def test_without_a_worker_words_are_searched_and_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, entries: dict[str, str]
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(asking.current_app, "send_task", lambda *_, **__: None)
    found = asking.search("manifest unknown", timeout_seconds=0.05)
    assert (found.by_meaning, [ref for ref, _ in found.hits]) == (False, [entries["image"]])
    page = signed_in().get("/knowledge/", {"q": "manifest unknown"}).content.decode()
    assert "No worker answered" in page


def test_everybody_sees_only_their_places(with_worker: None, entries: dict[str, str]) -> None:
    client = signed_in(namespace="bank", role=Role.VIEWER)
    for page in (client.get("/knowledge/"), client.get("/knowledge/", {"q": CRASH})):
        assert entries["oom"] in page.content.decode()
        assert entries["crash"] not in page.content.decode()
    assert client.get(f"/knowledge/{entries['crash']}/").status_code == 404
    assert client.get(f"/api/v1/knowledge/entries/{entries['crash']}").status_code == 404
    assert "Was it right?" not in client.get(f"/knowledge/{entries['oom']}/").content.decode()
    refused = client.post(f"/knowledge/{entries['oom']}/teach/", {"verdict": "fix:wrong"})
    assert refused.status_code == 403


def test_teaching_by_form(entries: dict[str, str]) -> None:
    client = signed_in()
    where = f"/knowledge/{entries['crash']}/teach/"
    form = {"verdict": "cause:wrong", "corrected_cause": "MemoryLeak", "note": "see the <b>graph</b>"}
    assert client.post(where, form).status_code == 302
    page = client.get(f"/knowledge/{entries['crash']}/").content.decode()
    assert "diagnosed as BadRollout" in page
    assert "see the &lt;b&gt;graph" in page
    again = client.post(where, {"verdict": "cause:wrong", "corrected_cause": "Nonsense", "note": "kept"})
    assert again.status_code == 422
    assert "kept" in again.content.decode()
    assert client.post("/knowledge/ke-0000000000000000/teach/", form).status_code == 404


def test_notes_by_form_and_what_two_people_do_at_once(entries: dict[str, str]) -> None:
    client = signed_in()
    client.post("/knowledge/notes/new/", {"title": "Registry", "text": "Mirror the image", "namespace": "shop"})
    note = KnowledgeEntry.objects.get(kind="note")
    assert client.get(f"/knowledge/{note.ref}/edit/").status_code == 200
    form = {"title": "Registry", "text": "Mirror it twice", "version": "1"}
    assert client.post(f"/knowledge/{note.ref}/edit/", form).status_code == 302
    late = client.post(f"/knowledge/{note.ref}/edit/", {**form, "text": "my words"})
    assert late.status_code == 409
    assert "my words" in late.content.decode()
    assert client.post(f"/knowledge/{note.ref}/remove/").status_code == 302
    assert client.post(f"/knowledge/{entries['oom']}/remove/").status_code == 422


@pytest.mark.parametrize("page", ["/knowledge/topics/", "/knowledge/learned/", "/knowledge/notes/new/", "/knowledge/"])
def test_pages_render(page: str) -> None:
    Notice.objects.create(key="k", kind="fix-stopped", text="It stopped.", data={"cause": "X"}, at=timezone.now())
    response = signed_in().get(page)
    assert response.status_code == 200
    assert ' style="' not in response.content.decode()


def test_of_many_topics_those_of_a_single_event_are_one_group() -> None:
    client, now = signed_in(), timezone.now()

    template = KnowledgeEntry.objects.exclude(topic=None).first()
    assert template is not None

    def topic(name: str, occurrences: int, **more: str) -> None:
        made = Topic.objects.create(
            name=name,
            embedding_model="m",
            embedding_dims=1,
            centroid=b"0000",
            first_seen_at=now,
            last_seen_at=now,
            **more,
        )
        entry = deepcopy(template)
        entry.pk, entry.ref, entry.topic, entry.occurrences = None, f"he-{name}", made, occurrences
        entry.event_ref, entry._state.adding = f"he-{name}", True
        entry.save()

    assert "single-events" not in client.get("/knowledge/topics/").content.decode(), "three topics are few"
    for number in range(10):
        topic(f"rare-{number}", 1)
    topic("often", 4)
    topic("ours", 1, named_by="ana")
    page = client.get("/knowledge/topics/").content.decode()
    one_by_one, _, group = page.partition('<ol class="rows rows-topics">')[2].partition('class="single-events"')
    assert "often" in one_by_one
    assert "ours" in one_by_one, "what a person has named stands by itself"
    assert "rare-7" not in one_by_one
    assert "often" not in group
    for number in range(10):
        assert group.count(f">rare-{number}<") == 1
        assert f"rare-{number}: a single event" in page, "it is on the map"


def test_a_topic_is_renamed() -> None:
    client = signed_in()
    (first, *_) = client.get("/api/v1/knowledge/topics").json()
    assert client.post(f"/knowledge/topics/{first['id']}/rename/", {"name": "Our name"}).status_code == 302
    assert "Our name" in client.get("/knowledge/topics/").content.decode()
    assert client.post(f"/knowledge/topics/{first['id']}/rename/", {"name": " "}).status_code == 422


@pytest.fixture
def event() -> HealingEvent:
    policy = Policy.objects.create(namespace="shop", name="p", spec={"targetNamespaces": ["shop"]})
    found, _ = engine.open_event(fault(), policy)
    HealingEvent.objects.filter(pk=found.pk).update(message="It <script>alert(1)</script> | *broke* [x](javascript:1)")
    found.refresh_from_db()
    return found


def test_a_postmortem_is_computed_edited_and_taken_along(event: HealingEvent) -> None:
    client, where = signed_in(), f"/events/{event.name}/postmortem/"
    page = client.get(where).content.decode()
    for title in ("Summary", "Impact", "Timeline", "Root cause", "What was done", "Follow-ups"):
        assert f"{title}" in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert client.post(where, {"markdown": "# Ours\n\nSaid <b>so</b>", "version": "0"}).status_code == 302
    assert "&lt;b&gt;so" in client.get(where).content.decode()
    late = client.post(where, {"markdown": "# Mine", "version": "0"})
    assert late.status_code == 409
    assert "# Mine" in late.content.decode()
    file = client.get(f"/events/{event.name}/postmortem.md")
    assert file.content.decode() == "# Ours\n\nSaid <b>so</b>"
    assert "attachment" in file["Content-Disposition"]
    assert Postmortem.objects.get().version == 1


def test_the_api_teaches_and_says_what_it_refuses(with_worker: None, entries: dict[str, str]) -> None:
    client, base = signed_in(), "/api/v1/knowledge"
    found = client.get(f"{base}/entries", {"text": OOM}).json()
    assert (found["items"][0]["ref"], found["byMeaning"]) == (entries["oom"], True)
    lesson = {"about": "cause", "isRight": False, "correctedCause": "MemoryLimitTooLow"}
    where = f"{base}/entries/{entries['oom']}/lessons"
    taught = client.post(where, lesson, content_type="application/json")
    assert (taught.status_code, taught.json()["cause"]) == (201, "MemoryLimitTooLow")
    bad = client.post(where, {**lesson, "correctedCause": "Nope"}, content_type="application/json")
    assert (bad.status_code, bad["Content-Type"]) == (422, "application/problem+json")
    note = {"title": "t", "text": "words"}
    made = client.post(f"{base}/notes", note, content_type="application/json").json()
    put = client.put(f"{base}/notes/{made['ref']}", {**note, "version": 9}, content_type="application/json")
    assert put.status_code == 409
    assert client.delete(f"{base}/notes/{made['ref']}").status_code == 204
    assert client.get(f"{base}/success").json()[0]["tried"] >= 1
