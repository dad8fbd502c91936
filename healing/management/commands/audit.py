"""`manage.py audit verify|export`: whether the trail is as it was written, and the trail itself."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from healing.audit import Actor, chain, record, search
from healing.models import AuditEntry


class Command(BaseCommand):
    help = "Verify the audit trail's chain of hashes, or export the trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="walk the chain; exit 1 where an entry was changed, removed or put in")
        verify.add_argument(
            "--head", metavar="SEQ:HASH", help="an entry noted down earlier, which still has to be in the trail"
        )
        export = verbs.add_parser("export", help="write entries, oldest first")
        export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
        export.add_argument("--output", type=Path, help="a file; by default the terminal")
        for name in ("action", "actor", "cluster", "namespace", "text", "since", "until"):
            export.add_argument(f"--{name}", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "verify":
            self._verify(options["head"])
        else:
            self._export(options)

    def _verify(self, head: str | None) -> None:
        broken = chain.first_break(AuditEntry.objects.order_by("seq").iterator(chunk_size=1000))
        if broken is not None:
            raise CommandError(f"The audit trail was tampered with: {broken.says}.", returncode=1)
        if head:
            seq, _, sealed = head.partition(":")
            entry = AuditEntry.objects.filter(seq=int(seq)).first() if seq.isdigit() else None
            if entry is None or entry.hash != sealed:
                raise CommandError(
                    f"The chain is whole, but entry {seq} is not the one that was noted down: the trail was rewritten.",
                    returncode=1,
                )
        last = AuditEntry.objects.order_by("-seq").first()
        if last is None:
            self.stdout.write("The audit trail is empty.")
            return
        self.stdout.write(f"{last.seq} entries, each as it was written. Note this down: {last.seq}:{last.hash}")

    def _export(self, options: dict[str, Any]) -> None:
        try:
            wanted = search.Search.parse({name: str(value or "") for name, value in options.items()})
        except search.BadSearch as error:
            raise CommandError(str(error)) from error
        kind = options["format"]
        rows = wanted.apply(AuditEntry.objects.all()).order_by("seq").iterator(chunk_size=1000)
        lines = search.csv_lines(rows) if kind == "csv" else search.json_lines(rows)
        path: Path | None = options["output"]
        if path is None:
            sys.stdout.writelines(lines)
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        record("audit.exported", actor=Actor.system("manage.py audit export"), data={"kind": kind, **wanted.values()})
