"""What people say of entries, and what follows: ranking, statistics, flags. Notes that people write.

The newest word of each person on each question counts. A fix called wrong counts as failed and a corrected cause moves
its trials to that cause, where they weigh less: a person has seen the outcome, not the trial. Where people contradict
each other the entry is flagged and weighs little until they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from knowledge import local
from knowledge.models import EntryKind, KnowledgeEntry, Lesson, Notice, Trial, new_ref
from knowledge.records import Judgement

#: Weight of the trials of an entry by what is known of it.
CORRECTED_WEIGHT, FLAGGED_WEIGHT = 0.6, 0.25
MAX_NOTE_CHARACTERS = 20_000

About = Literal["cause", "fix"]


class Changed(Exception):
    """Somebody else changed it meanwhile."""


def teach(
    ref: str,
    *,
    about: About,
    is_right: bool,
    by: str,
    user_id: int | None = None,
    corrected_cause: str = "",
    note: str = "",
) -> KnowledgeEntry:
    """Record a person's word and draw the conclusions, in one transaction. ``note`` must be redacted already.

    Raises `KnowledgeEntry.DoesNotExist`, and `ValueError` for a word that makes no sense.
    """
    if corrected_cause and (about != "cause" or is_right):
        raise ValueError("A corrected cause belongs to a root cause that is wrong.")
    with transaction.atomic():
        entry = KnowledgeEntry.objects.select_for_update().get(ref=ref)
        if entry.kind == EntryKind.NOTE:
            raise ValueError("A note has neither cause nor fix; edit or remove it instead.")
        Lesson.objects.create(
            entry=entry,
            about=about,
            is_right=is_right,
            corrected_cause=corrected_cause,
            note=note,
            by=by,
            user_id=user_id,
            at=timezone.now(),
        )
        conclude(entry)
    return entry


def conclude(entry: KnowledgeEntry) -> None:
    """Bring an entry and its trials (and those merged into it) in line with its lessons. Idempotent."""
    words = judgements_of([entry.pk]).get(entry.pk, ())
    flags = _flags(entry, words)
    causes = [w.corrected_cause for w in words if w.corrected_cause]
    entry.corrected_cause = causes[-1] if causes and not _disagree(words, "cause") else ""
    if any(w.about == "cause" and w.is_right for w in words) and not causes:
        entry.corrected_cause = ""
    entry.flags = flags
    entry.version += 1
    entry.indexed_at = None  # its payload changed
    entry.save(update_fields=["corrected_cause", "flags", "version", "indexed_at"])
    fix = [w.is_right for w in words if w.about == "fix"]
    judged = fix[-1] if fix and not _disagree(words, "fix") else None
    is_cause_wrong = any(w.about == "cause" and not w.is_right for w in words)
    weight = FLAGGED_WEIGHT if flags else CORRECTED_WEIGHT if is_cause_wrong or judged is False else 1.0
    trials = Trial.objects.filter(entry__in=[entry.pk, *entry.merged.values_list("pk", flat=True)])
    trials.update(cause=entry.named_cause, weight=weight, judged=None)
    # "The fix was wrong" speaks of what was believed to have worked; what failed, failed.
    trials.filter(succeeded=True).update(judged=judged)
    local.forget(entry.cluster, entry.namespace)
    _notice(entry)


def taken_back(event_ref: str, strategy: str, *, why: str) -> bool:
    """A person has taken back what this strategy did: from now on it counts as one that failed there. ``why`` is a
    sentence, redacted. False: the event is not remembered (yet), or it counts like that already.

    Only this event's own trials: of those that were merged with it nothing was taken back."""
    with transaction.atomic():
        entry = KnowledgeEntry.objects.select_for_update().filter(event_ref=event_ref).first()
        if entry is None:
            return False
        changed = [
            {**tried, "outcome": "undone", "reason": why}
            if tried["strategy"] == strategy and tried["outcome"] not in ("undone", "refused")
            else tried
            for tried in entry.strategies
        ]
        if changed == entry.strategies:
            return False
        entry.strategies = changed
        entry.person_changed = "\n".join(filter(None, (entry.person_changed, why)))
        entry.version += 1
        entry.indexed_at = None  # its payload changed
        entry.save(update_fields=["strategies", "person_changed", "version", "indexed_at"])
        positions = [place for place, tried in enumerate(changed) if tried["outcome"] == "undone"]
        Trial.objects.filter(entry=entry, position__in=positions).update(succeeded=False, judged=None)
        local.forget(entry.cluster, entry.namespace)
    return True


def judgements_of(entries: Iterable[int]) -> dict[int, tuple[Judgement, ...]]:
    """By entry: the newest word of each person on each question, oldest first."""
    newest: dict[tuple[int, str, str], Lesson] = {}
    for lesson in Lesson.objects.filter(entry__in=list(entries)).order_by("at", "id"):
        key = (lesson.entry_id, lesson.about, lesson.by)
        newest.pop(key, None)
        newest[key] = lesson
    found: dict[int, list[Judgement]] = {}
    for lesson in newest.values():
        about = cast("About", lesson.about)
        word = Judgement(about, lesson.is_right, lesson.by, lesson.at, lesson.corrected_cause, lesson.note)
        found.setdefault(lesson.entry_id, []).append(word)
    return {pk: tuple(words) for pk, words in found.items()}


def write_note(
    *, title: str, text: str, by: str, cluster: str = "", namespace: str = "", cause: str = ""
) -> KnowledgeEntry:
    """A runbook note: found by recall like an event, never forgotten. Texts must be redacted already."""
    ref = new_ref()
    entry = KnowledgeEntry.objects.create(
        ref=ref,
        kind=EntryKind.NOTE,
        event_ref=ref,
        cluster=cluster,
        namespace=namespace,
        cause=cause,
        title=title,
        text=text,
        author=by,
        pinned=True,
        occurred_at=timezone.now(),
    )
    local.forget(cluster, namespace)
    return entry


def edit_note(ref: str, *, version: int, title: str, text: str, by: str, cause: str = "") -> KnowledgeEntry:
    """Raises `Changed` where it is not ``version`` any more, and `KnowledgeEntry.DoesNotExist`."""
    changed = KnowledgeEntry.objects.filter(ref=ref, kind=EntryKind.NOTE, version=version).update(
        title=title, text=text, author=by, cause=cause, version=F("version") + 1, embedding=None, indexed_at=None
    )
    entry = KnowledgeEntry.objects.get(ref=ref, kind=EntryKind.NOTE)
    if not changed:
        raise Changed("Somebody else has changed this note since you opened it. Your text was not saved.")
    local.forget(entry.cluster, entry.namespace)
    return entry


def _disagree(words: Iterable[Judgement], about: About) -> bool:
    """Two people say different things about the same question."""
    said = {(w.is_right, w.corrected_cause) for w in words if w.about == about}
    return len({right for right, _ in said}) > 1 or len({cause for _, cause in said if cause}) > 1


def _flags(entry: KnowledgeEntry, words: Iterable[Judgement]) -> list[dict[str, str]]:
    words = list(words)
    found = []
    for about, title in (("cause", "root cause"), ("fix", "fix")):
        if _disagree(words, cast("About", about)):
            people = ", ".join(dict.fromkeys(w.by for w in words if w.about == about))
            found.append({"kind": "contradiction", "text": f"People disagree about the {title}: {people}."})
    found += [flag for flag in entry.flags if flag.get("kind") != "contradiction"]
    return found


def _notice(entry: KnowledgeEntry) -> None:
    key = f"conflict:{entry.ref}"
    texts = [flag["text"] for flag in entry.flags]
    if not texts:
        Notice.objects.filter(key=key).delete()
        return
    Notice.objects.update_or_create(
        key=key,
        defaults={
            "kind": "conflict",
            "text": f"{entry.event_ref}: {' '.join(texts)} It weighs little until that is settled.",
            "data": {"ref": entry.ref},
            "at": timezone.now(),
        },
    )
