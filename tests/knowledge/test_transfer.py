"""Taking the memory along: redacted, all or nothing, the same file twice changes nothing, newer wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from healing.redaction import redact
from knowledge import teaching, transfer
from knowledge.index import Index
from knowledge.memory import recall, remember, success
from knowledge.models import KnowledgeEntry, Lesson, Trial
from knowledge.tasks import index_pending
from tests.knowledge.conftest import experience
from tests.knowledge.test_memory import CRASH, OOM

pytestmark = pytest.mark.django_db


@pytest.fixture
def exported(no_qdrant: Index) -> list[str]:
    """A file of another installation; nothing of it is left here."""
    ref = remember(experience("he-1", f"{CRASH} DB_PASSWORD=hunter2hunter2", occurred_at=timezone.now()))
    remember(experience("he-2", OOM, cause="MemoryLeak", occurred_at=timezone.now()))
    teaching.teach(ref, about="fix", is_right=False, by="ana", note="no")
    lines = list(transfer.export("north", redact))
    KnowledgeEntry.objects.all().delete()
    return lines


def counts() -> tuple[int, int, int]:
    return KnowledgeEntry.objects.count(), Trial.objects.count(), Lesson.objects.count()


def test_what_is_imported_is_recalled_and_counts_as_elsewhere(exported: list[str]) -> None:
    assert "hunter2" not in "".join(exported)
    assert transfer.load(exported, redact, installation="south") == transfer.Imported(2, 0, 0)
    index_pending()  # Qdrant is down: they are embedded all the same
    assert recall(OOM)[0].imported_from == "north"
    count = success("MemoryLeak", "rollback", namespace="shop")
    assert (count.here_tried, count.elsewhere_succeeded) == (0, 1)
    assert success("BadRollout", "rollback", namespace="shop").succeeded == 0  # ana's word came along


def test_the_same_file_twice_changes_nothing_and_a_newer_version_wins(exported: list[str]) -> None:
    transfer.load(exported, redact, installation="south")
    before = counts()
    assert transfer.load(exported, redact, installation="south") == transfer.Imported(0, 0, 2)
    assert counts() == before
    newer = json.loads(exported[1])
    newer |= {"version": newer["version"] + 1, "cause": "CrashOnStart"}
    header = {**json.loads(exported[0]), "entries": 1}
    assert transfer.load([json.dumps(header), json.dumps(newer)], redact, installation="south").updated == 1
    assert KnowledgeEntry.objects.get(ref=newer["ref"]).cause == "CrashOnStart"
    transfer.load(exported, redact, installation="south")  # the old file does not turn it back
    assert KnowledgeEntry.objects.get(ref=newer["ref"]).cause == "CrashOnStart"


@pytest.mark.parametrize(
    ("line", "change", "says"),
    [
        (2, {"outcome": "splendid"}, "line 2: outcome"),
        (3, {"ref": "../etc"}, "line 3: ref"),
        (3, {"evil": 1}, "line 3: evil"),
        (2, {"occurred_at": "yesterday"}, "line 2: occurred_at"),
        (2, {"text": "a\u0000b"}, "line 2: text"),
        (1, {"version": 99}, "line 1: version"),
        (1, {"entries": 3}, "cut off"),
    ],
)
def test_one_bad_line_and_nothing_is_done(exported: list[str], line: int, change: dict[str, Any], says: str) -> None:
    lines = list(exported)
    lines[line - 1] = json.dumps({**json.loads(lines[line - 1]), **change})
    with pytest.raises(transfer.BadFile, match=says):
        transfer.load(lines, redact, installation="south")
    assert counts() == (0, 0, 0)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"format": "recist-memory"}', "\x00"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(transfer.BadFile, match="line 1"):
        transfer.load(text.splitlines(), redact, installation="south")


def test_an_event_of_ours_is_never_overwritten_by_another_entry(exported: list[str]) -> None:
    remember(experience("he-1", "ours", occurred_at=timezone.now()))
    with pytest.raises(transfer.BadFile, match="line 2: he-1 is another entry"):
        transfer.load(exported, redact, installation="south")
    assert KnowledgeEntry.objects.get().text == "ours"


def test_the_commands(exported: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text("\n".join(exported))
    call_command("memory", "import", str(path), "--check")
    assert counts() == (0, 0, 0)
    call_command("memory", "import", str(path), "--installation", "south")
    call_command("memory", "export", str(tmp_path / "again.jsonl"), "--installation", "south")
    out = capsys.readouterr().out
    assert "2 entries of north could be imported" in out
    assert "2 added" in out
    assert len((tmp_path / "again.jsonl").read_text().splitlines()) == 3
    path.write_text(exported[0] + "\nnonsense\n")
    with pytest.raises(CommandError, match="line 2: not JSON"):
        call_command("memory", "import", str(path))


def test_rebuilding_embeds_everything_anew_with_progress(qdrant: Index, capsys: pytest.CaptureFixture[str]) -> None:
    remember(experience("he-1", CRASH, occurred_at=timezone.now()))
    remember(experience("he-2", OOM, cause="MemoryLeak", occurred_at=timezone.now()))
    index_pending()
    call_command("rebuild_memory", "--here")
    out = capsys.readouterr().out
    assert "2 entries for hybrid" in out
    assert "2 of 2" in out
    assert "Done." in out
    assert not KnowledgeEntry.objects.filter(indexed_at__isnull=True).exists()
    assert recall(OOM)[0].event_ref == "he-2"
