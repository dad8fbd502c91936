"""People teach: their word changes statistics, ranking, flags; contradictions are flagged; it is all on the trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from healing import teaching
from healing.audit import Actor
from healing.diagnosis import recall as recalling
from healing.findings import DOUBTED, Diagnosis, Evidence, Finding
from healing.models import AuditEntry, Role, RoleBinding
from healing.ports import ObjectRef
from knowledge import drift, forgetting, local, topics
from knowledge.index import Index
from knowledge.memory import recall, remember, success
from knowledge.models import KnowledgeEntry, Notice, Topic, Trial, Use
from knowledge.records import TriedStrategy
from knowledge.tasks import index_pending
from tests.knowledge.conftest import experience
from tests.knowledge.test_memory import CRASH, IMAGE, OOM

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> Callable[[str], tuple[User, Actor]]:
    def make(name: str, *, namespace: str = "shop", role: str = Role.OPERATOR) -> tuple[User, Actor]:
        user = User.objects.create_user(name)
        RoleBinding.objects.create(user=user, role=role, namespace=namespace)
        return user, Actor.of_user(user)

    return make


def healed(name: str, **changes: Any) -> KnowledgeEntry:
    ref = remember(experience(name, CRASH, occurred_at=timezone.now(), **changes))
    return KnowledgeEntry.objects.get(ref=ref)


def test_a_fix_called_wrong_counts_as_failed(no_qdrant: Index, people: Any) -> None:
    entry = healed("he-1")
    before = success("BadRollout", "rollback", namespace="shop")
    teaching.judge(*people("ana"), entry.ref, about="fix", is_right=False, note="it came back, token=abcdef123456")
    after = success("BadRollout", "rollback", namespace="shop")
    assert (before.succeeded, after.succeeded, after.tried) == (1, 0, 1)
    assert after.probability < 0.5 < before.probability
    (found,) = recall(CRASH)
    assert found.worked == ""
    assert "rollback" in found.failed
    assert "abcdef123456" not in found.judgements[0].note
    trail = AuditEntry.objects.get(action="memory.taught")
    assert (trail.actor, trail.target, trail.namespace) == ("ana", entry.ref, "shop")


def test_a_corrected_cause_takes_its_trials_along(no_qdrant: Index, people: Any) -> None:
    entry = healed("he-1")
    teaching.judge(*people("ana"), entry.ref, about="cause", is_right=False, corrected_cause="MemoryLeak")
    assert success("BadRollout", "rollback", namespace="shop").tried == 0
    moved = success("MemoryLeak", "rollback", namespace="shop")
    assert moved.succeeded == 1
    assert 0.5 < moved.probability < 2 / 3  # less than a trial nobody had to correct
    assert [one.cause for one in recall(CRASH, cause="MemoryLeak")] == ["MemoryLeak"]
    assert recall(CRASH, cause="BadRollout") == []


def test_people_who_contradict_each_other_flag_the_entry_until_they_agree(no_qdrant: Index, people: Any) -> None:
    entry = healed("he-1")
    ana, ben = people("ana"), people("ben")
    teaching.judge(*ana, entry.ref, about="fix", is_right=True)
    flagged = teaching.judge(*ben, entry.ref, about="fix", is_right=False)
    assert "ana, ben" in flagged.flags[0]["text"]
    assert Trial.objects.get(strategy="rollback").weight == pytest.approx(0.25)
    assert Notice.objects.filter(kind="conflict", data__ref=entry.ref).exists()
    other = healed("he-2", namespace="bank")
    assert [r.ref for r in recall(CRASH)] == [other.ref, entry.ref]  # the same text, but that one is in doubt
    agreed = teaching.judge(*ana, entry.ref, about="fix", is_right=False)
    assert agreed.flags == []
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ({"about": "cause", "is_right": False, "corrected_cause": "NoSuchCause"}, "no cause"),
        ({"about": "cause", "is_right": False, "corrected_cause": "BadRollout"}, "is what was diagnosed"),
        ({"about": "weather", "is_right": True}, "root cause or the fix"),
        ({"about": "fix", "is_right": False, "corrected_cause": "MemoryLeak"}, "belongs to a root cause"),
        ({"about": "cause", "is_right": True, "note": "x" * 2001}, "2000 characters"),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(no_qdrant: Index, people: Any, word: dict[str, Any], says: str) -> None:
    entry = healed("he-1")
    with pytest.raises(teaching.Refused, match=says):
        teaching.judge(*people("ana"), entry.ref, **word)
    assert not AuditEntry.objects.filter(action="memory.taught").exists()
    assert entry.lessons.count() == 0


def test_who_may_not_operate_there_may_not_teach(no_qdrant: Index, people: Any) -> None:
    entry = healed("he-1")
    for who in (people("eve", namespace="bank"), people("vic", role=Role.VIEWER)):
        with pytest.raises(teaching.NotAllowed, match="Ask"):
            teaching.judge(*who, entry.ref, about="fix", is_right=False)
    assert entry.lessons.count() == 0


def test_notes_are_found_like_events_and_never_forgotten(qdrant: Index, people: Any) -> None:
    who = people("ana", namespace="")
    note = teaching.write_note(*who, title="Registry", text=f"{IMAGE}. Mirror it first. password=hunter2hunter2")
    assert "hunter2" not in note.text
    index_pending()
    remember(experience("he-oom", OOM, occurred_at=timezone.now()))
    index_pending()
    found = recall("ImagePullBackOff manifest unknown for shop/web")
    assert (found[0].ref, found[0].kind, found[0].title) == (note.ref, "note", "Registry")
    changed = teaching.edit_note(*who, note.ref, version=1, title="Registry", text=OOM)
    assert changed.version == 2
    with pytest.raises(teaching.Changed):
        teaching.edit_note(*who, note.ref, version=1, title="Registry", text="mine")
    index_pending()
    assert recall(OOM)[0].similarity > 0.9  # embedded anew
    teaching.remove_note(*who, note.ref)
    assert note.ref not in {one.ref for one in recall(OOM)}


def test_near_duplicates_are_one_entry_that_counts(qdrant: Index) -> None:
    for number in range(3):
        remember(experience(f"he-{number}", CRASH.replace("2.4", f"2.{number}"), occurred_at=timezone.now()))
    remember(experience("he-else", CRASH, occurred_at=timezone.now(), strategies=(TriedStrategy("scale", "failed"),)))
    index_pending()
    found = recall(CRASH)
    assert sorted((one.event_ref, one.occurrences) for one in found) == [("he-0", 3), ("he-else", 1)]
    assert success("BadRollout", "rollback", namespace="shop").tried == 3  # each trial still counts


def test_expired_entries_are_not_recalled_and_go(qdrant: Index) -> None:
    remember(experience("he-old", CRASH, occurred_at=timezone.now() - timedelta(days=40), ttl_days=30))
    remember(experience("he-new", OOM, occurred_at=timezone.now(), ttl_days=30))
    index_pending()
    assert [one.event_ref for one in recall(CRASH)] == ["he-new"]
    assert success("BadRollout", "rollback", namespace="shop").tried == 1
    assert forgetting.forget_expired() == 1
    assert not KnowledgeEntry.objects.filter(event_ref="he-old").exists()


def test_the_local_range_is_read_back_when_valkey_was_flushed(
    no_qdrant: Index, empty_valkey: str, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        remember(experience("he-1", CRASH, occurred_at=timezone.now()))
    near = ("default", "shop")
    assert [one.range for one in recall(CRASH, near=near)] == ["local"]
    local.client().flushall()
    assert [one.range for one in recall(CRASH, near=near)] == ["local"]
    with django_capture_on_commit_callbacks(execute=True):  # the list is there now, and new ones join it
        remember(experience("he-2", OOM, occurred_at=timezone.now(), max_local_events=1))
    assert {one.event_ref: one.range for one in recall(OOM, near=near)} == {"he-1": "global", "he-2": "local"}
    assert [one.range for one in recall(CRASH, near=("default", "bank"))] == ["global", "global"]


def test_the_local_range_works_without_valkey(no_qdrant: Index, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9"
    remember(experience("he-1", CRASH, occurred_at=timezone.now()))
    assert [one.range for one in recall(CRASH, near=("default", "shop"))] == ["local"]


def evidence(**data: Any) -> Evidence:
    values = {"event": "he-1", "similarity": 0.9, "same_fault": True, "cause": "A", "diagnosed": "BadRollout"}
    return Evidence("m-1", "memory", "memory", "Similar", data={**values, "said": [], **data})


def finding(cause: str, confidence: float) -> Finding:
    return Finding(cause, ObjectRef("Deployment", "shop", "web"), confidence, f"It is {cause}.")


def said(by: str = "ana", *, right: bool = False, really: str = "MemoryLeak") -> dict[str, Any]:
    return {"about": "cause", "is_right": right, "by": by, "corrected_cause": "" if right else really}


def test_a_correction_changes_the_ranking_of_a_close_call_and_says_why() -> None:
    diagnosis = Diagnosis((finding("BadRollout", 0.7), finding("MemoryLeak", 0.55)))
    weighed = recalling.weigh(diagnosis, [evidence(said=[said()])])
    assert [f.cause for f in weighed.findings] == ["MemoryLeak", "BadRollout"]
    assert "ana said that he-1 really was MemoryLeak" in weighed.findings[0].explanation
    assert weighed.findings[0].evidence == ("m-1",)


def test_a_sure_finding_that_memory_overtakes_is_put_before_a_person() -> None:
    diagnosis = Diagnosis((finding("BadRollout", 0.8), finding("MemoryLeak", 0.7)))
    weighed = recalling.weigh(diagnosis, [evidence(said=[said()])])
    assert weighed.findings[0].cause == "MemoryLeak"
    assert DOUBTED in weighed.findings[0].facts


def test_no_number_of_poisoned_memories_moves_a_finding_beyond_the_bound() -> None:
    diagnosis = Diagnosis((finding("BadRollout", 0.95), finding("MemoryLeak", 0.2)))
    weighed = recalling.weigh(diagnosis, [evidence(said=[said(f"p{n}")]) for n in range(50)])
    assert weighed.findings[0].cause == "BadRollout"


def test_a_cause_that_only_people_name_stays_below_every_threshold() -> None:
    weighed = recalling.weigh(Diagnosis((finding("BadRollout", 0.5),)), [evidence(said=[said()])] * 3)
    (added,) = [f for f in weighed.findings if f.cause == "MemoryLeak"]
    assert added.confidence <= recalling.ONLY_PEOPLE


@pytest.mark.parametrize("change", [{"flagged": True}, {"imported_from": "elsewhere"}])
def test_doubtful_memories_do_not_turn_a_ranking(change: dict[str, Any]) -> None:
    diagnosis = Diagnosis((finding("BadRollout", 0.7), finding("MemoryLeak", 0.55)))
    weighed = recalling.weigh(diagnosis, [evidence(said=[said()], **change)])
    assert weighed.findings[0].cause == "BadRollout"


def test_what_only_resembles_does_not_speak_about_causes() -> None:
    diagnosis = Diagnosis((finding("BadRollout", 0.7), finding("MemoryLeak", 0.6)))
    assert recalling.weigh(diagnosis, [evidence(same_fault=False, similarity=0.6, said=[said()])]) == diagnosis


def test_topics_group_what_is_alike_and_keep_the_names_people_gave(qdrant: Index, people: Any) -> None:
    texts = {"BadRollout": CRASH, "MemoryLeak": OOM, "ImageNotFound": IMAGE}
    for cause, text in texts.items():
        for number in range(4):
            remember(
                experience(f"he-{cause.lower()}-{number}", f"{text} {number}", cause=cause, namespace=f"ns{number}",
                           occurred_at=timezone.now())
            )  # fmt: skip
    index_pending()
    assert topics.recompute() == 3
    by_topic = {t.pk: set(t.entries.values_list("cause", flat=True)) for t in Topic.objects.all()}
    assert sorted(map(sorted, by_topic.values())) == [["BadRollout"], ["ImageNotFound"], ["MemoryLeak"]]
    leak = Topic.objects.get(entries__event_ref="he-memoryleak-0")
    teaching.rename_topic(*people("ana", namespace=""), leak.pk, "Cart eats memory")
    remember(
        experience("he-memoryleak-9", f"{OOM} again", cause="MemoryLeak", namespace="x", occurred_at=timezone.now())
    )
    index_pending()
    assert topics.recompute() == 3
    leak.refresh_from_db()
    assert (leak.name, leak.size) == ("Cart eats memory", 5)
    index_pending()
    assert {one.cause for one in recall(CRASH, topic=str(leak.pk))} == {"MemoryLeak"}


def trial(number: int, days: float, *, worked: bool) -> None:
    outcome = "succeeded" if worked else "failed"
    at = timezone.now() - timedelta(days=days)
    remember(
        experience(
            f"he-{number}", f"{CRASH} {number}", occurred_at=at, strategies=(TriedStrategy("rollback", outcome),)
        )
    )  # type: ignore[arg-type]


def test_a_fix_that_stopped_working_is_told_once(no_qdrant: Index) -> None:
    for number in range(8):
        trial(number, 30 + number, worked=number != 3)
    for number in range(8, 12):
        trial(number, 12 - number, worked=False)
    (notice,) = drift.look()
    assert notice.kind == "fix-stopped"
    assert "0 of the last 4, 7 of 8 before" in notice.text
    assert drift.look() == []


def test_bad_luck_is_no_drift(no_qdrant: Index) -> None:
    for number in range(8):
        trial(number, 30 + number, worked=number % 3 != 0)
    for number in range(8, 12):
        trial(number, 12 - number, worked=number == 10)
    assert drift.look() == []


def test_uses_are_counted_once_an_event(no_qdrant: Index) -> None:
    from knowledge.memory import note_uses

    entry = healed("he-1")
    for _ in range(3):
        note_uses("he-2", [(entry.ref, 0.9, "shown")])
    assert Use.objects.count() == 1
