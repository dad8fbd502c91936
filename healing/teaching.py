"""What people teach the memory: checked, redacted, and on the audit trail. Pages and API both come here."""

from __future__ import annotations

from typing import Literal, cast

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from healing.access import Capability, why_not
from healing.audit import Actor, record
from healing.diagnosis.catalogue import CAUSES
from healing.models import HealingEvent, Strategy
from healing.redaction import redact
from knowledge import forgetting, memory, teaching, topics
from knowledge.models import EntryKind, KnowledgeEntry, Notice, Postmortem, Topic

MAX_NOTE = 2_000
MAX_TEXT = teaching.MAX_NOTE_CHARACTERS
MAX_POSTMORTEM = 100_000

About = Literal["cause", "fix"]


class NotAllowed(Exception):
    """The person may not; the message says whom to ask."""


class Refused(Exception):
    """What was sent cannot be used; the message says why."""


class Changed(Exception):
    """Somebody else has changed it meanwhile."""


def judge(
    user: User, actor: Actor, ref: str, *, about: str, is_right: bool, corrected_cause: str = "", note: str = ""
) -> KnowledgeEntry:
    """A person's word on an entry's root cause or fix. Raises `KnowledgeEntry.DoesNotExist`."""
    entry = _entry(user, ref)
    if about not in ("cause", "fix"):
        raise Refused("Say whether it is about the root cause or the fix.")
    if corrected_cause and corrected_cause not in CAUSES:
        raise Refused(f"There is no cause {corrected_cause!r} in the catalogue; docs/causes.md lists them.")
    if corrected_cause and corrected_cause == entry.cause:
        raise Refused(f"{corrected_cause} is what was diagnosed. Choose what it really was, or call it right.")
    if about == "fix" and not any(s["outcome"] == "succeeded" for s in entry.strategies) and is_right:
        raise Refused("No fix worked in this event, so there is none to call right.")
    if len(note) > MAX_NOTE:
        raise Refused(f"A note can have {MAX_NOTE} characters at most; yours has {len(note)}.")
    before = {"cause": entry.named_cause, "flags": entry.flags}
    try:
        with transaction.atomic():
            entry = teaching.teach(
                ref,
                about=cast("About", about),
                is_right=is_right,
                by=user.get_username(),
                user_id=user.pk,
                corrected_cause=corrected_cause,
                note=redact(_clean(note)),
            )
            record(
                "memory.taught",
                actor=actor,
                target=ref,
                cluster=entry.cluster,
                namespace=entry.namespace,
                before=before,
                after={"cause": entry.named_cause, "flags": entry.flags},
                data={"about": about, "right": is_right, "correctedCause": corrected_cause, "event": entry.event_ref},
            )
            transaction.on_commit(memory.ask_for_indexing)
    except ValueError as error:
        raise Refused(str(error)) from error
    return entry


def write_note(
    user: User, actor: Actor, *, title: str, text: str, cluster: str = "", namespace: str = "", cause: str = ""
) -> KnowledgeEntry:
    """A runbook note for a namespace, or (with empty names) for everywhere."""
    _may(user, cluster, namespace)
    title, text = _note_fields(title, text, cause)
    with transaction.atomic():
        entry = teaching.write_note(
            title=title, text=text, by=user.get_username(), cluster=cluster, namespace=namespace, cause=cause
        )
        record(
            "note.written", actor=actor, target=entry.ref, cluster=cluster, namespace=namespace, after={"title": title}
        )
        transaction.on_commit(memory.ask_for_indexing)
    return entry


def edit_note(
    user: User, actor: Actor, ref: str, *, version: int, title: str, text: str, cause: str = ""
) -> KnowledgeEntry:
    """Raises `Changed` where ``version`` is not the newest."""
    entry = _entry(user, ref)
    title, text = _note_fields(title, text, cause)
    try:
        with transaction.atomic():
            changed = teaching.edit_note(
                ref, version=version, title=title, text=text, by=user.get_username(), cause=cause
            )
            record(
                "note.changed",
                actor=actor,
                target=ref,
                cluster=entry.cluster,
                namespace=entry.namespace,
                before={"title": entry.title, "text": entry.text},
                after={"title": title, "text": text},
            )
            transaction.on_commit(memory.ask_for_indexing)
    except teaching.Changed as error:
        raise Changed(str(error)) from error
    return changed


def remove_note(user: User, actor: Actor, ref: str) -> None:
    """Take a note out of the memory; its text stays on the audit trail."""
    entry = _entry(user, ref)
    if entry.kind != EntryKind.NOTE:
        raise Refused("Only notes can be removed. An event that misleads is called wrong instead.")
    with transaction.atomic():
        record(
            "note.removed",
            actor=actor,
            target=ref,
            cluster=entry.cluster,
            namespace=entry.namespace,
            before={"title": entry.title, "text": entry.text},
        )
        forgetting.remove(entry)


def rename_topic(user: User, actor: Actor, topic_id: int, name: str) -> Topic:
    """Topics span namespaces, so the right is needed everywhere. Raises `Topic.DoesNotExist`."""
    _may(user, "", "")
    before = Topic.objects.get(pk=topic_id).name
    try:
        with transaction.atomic():
            topic = topics.rename(topic_id, _clean(name), by=user.get_username())
            record(
                "topic.renamed", actor=actor, target=str(topic_id), before={"name": before}, after={"name": topic.name}
            )
    except ValueError as error:
        raise Refused(str(error)) from error
    return topic


def dismiss_notice(user: User, actor: Actor, notice_id: int) -> None:
    """It was seen. Raises `Notice.DoesNotExist`."""
    _may(user, "", "")
    with transaction.atomic():
        notice = Notice.objects.select_for_update().get(pk=notice_id)
        notice.dismissed_by, notice.dismissed_at = user.get_username(), timezone.now()
        notice.save(update_fields=["dismissed_by", "dismissed_at"])
        record("notice.dismissed", actor=actor, target=notice.key, data={"text": notice.text})


def taken_back(strategy: Strategy, by: Actor, reason: str) -> bool:
    """A fix that a person took back counts as one that failed, for its cause and there. False: its event is not
    remembered yet (then it will be like that at once), or this is known already."""
    event = strategy.event
    why = redact(f"{by.name} took back '{strategy.title}': {_clean(reason)}")
    with transaction.atomic():
        if not teaching.taken_back(event.name, strategy.key, why=why):
            return False
        record(
            "memory.taught",
            actor=by,
            target=event.knowledge_ref or event.name,
            cluster=event.cluster,
            namespace=event.target_namespace,
            data={"about": "fix", "right": False, "strategy": strategy.key, "event": event.name},
        )
        transaction.on_commit(memory.ask_for_indexing)
    return True


def save_postmortem(user: User, actor: Actor, event: HealingEvent, *, markdown: str, version: int) -> Postmortem:
    """``version`` 0: it was computed so far. Raises `Changed`."""
    _may(user, event.cluster, event.target_namespace)
    text = redact(markdown.replace("\0", "").replace("\r\n", "\n")).strip()
    if not text:
        raise Refused("An empty postmortem says nothing. Write something, or leave it as it is computed.")
    if len(text) > MAX_POSTMORTEM:
        raise Refused(f"A postmortem can have {MAX_POSTMORTEM} characters at most; yours has {len(text)}.")
    values = {"markdown": text, "edited_by": user.get_username(), "edited_at": timezone.now(), "version": version + 1}
    with transaction.atomic():
        HealingEvent.objects.select_for_update().get(pk=event.pk)  # two first versions cannot both be the first
        row = Postmortem.objects.filter(event_ref=event.name).first()
        if (row.version if row else 0) != version:
            by = row.edited_by if row else "nobody"
            raise Changed(f"{by} has saved another version since you opened it. Your text is below; nothing was saved.")
        saved, _ = Postmortem.objects.update_or_create(event_ref=event.name, defaults=values)
        record(
            "postmortem.saved",
            actor=actor,
            target=event.name,
            cluster=event.cluster,
            namespace=event.target_namespace,
            before={"markdown": row.markdown} if row else None,
            after={"markdown": text},
        )
    return saved


def _entry(user: User, ref: str) -> KnowledgeEntry:
    entry = KnowledgeEntry.objects.get(ref=ref)
    _may(user, entry.cluster, entry.namespace)
    return entry


def _may(user: User, cluster: str, namespace: str) -> None:
    if refusal := why_not(user, Capability.OPERATE, cluster=cluster, namespace=namespace):
        raise NotAllowed(refusal)


def _note_fields(title: str, text: str, cause: str) -> tuple[str, str]:
    title, text = redact(" ".join(_clean(title).split())), redact(_clean(text)).strip()
    if not 1 <= len(title) <= 200:
        raise Refused("A note needs a title of 1 to 200 characters.")
    if not 1 <= len(text) <= MAX_TEXT:
        raise Refused(f"A note needs a text of 1 to {MAX_TEXT} characters.")
    if cause and cause not in CAUSES:
        raise Refused(f"There is no cause {cause!r} in the catalogue; docs/causes.md lists them.")
    return title, text


def _clean(text: str) -> str:
    return text.replace("\0", "").replace("\r\n", "\n")
