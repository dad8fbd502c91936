"""`manage.py memory export|import FILE`: take what was learned to another installation."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from healing.audit import Actor, record
from healing.redaction import redact
from knowledge import transfer


class Command(BaseCommand):
    help = "Export what was learned as lines of JSON, redacted, or import it from another installation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="what", required=True)
        out = kinds.add_parser("export", help="Write the memory to a file.")
        out.add_argument("file", help="Where to; - is the standard output.")
        out.add_argument("--namespace", default="", help="Only entries of this namespace.")
        out.add_argument("--cluster", default="", help="Only entries of this cluster.")
        into = kinds.add_parser("import", help="Read a file; all of it or nothing.")
        into.add_argument("file", help="What `memory export` wrote; - is the standard input.")
        into.add_argument("--check", action="store_true", help="Only say whether it could be imported.")
        for one in (out, into):
            one.add_argument(
                "--installation",
                default=settings.CLUSTER_NAME,
                help="This installation's name (default: CLUSTER_NAME).",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "export":
            self._export(**options)
        else:
            self._import(**options)

    def _export(self, **options: Any) -> None:
        lines = transfer.export(
            options["installation"], redact, namespace=options["namespace"], cluster=options["cluster"]
        )
        if options["file"] == "-":
            for line in lines:
                self.stdout.write(line)
            return
        path, number = Path(options["file"]), 0
        try:
            # Beside it and then renamed: a file that exists is whole.
            handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                for number, line in enumerate(lines):  # noqa: B007 - the last number is told
                    file.write(f"{line}\n")
            Path(name).replace(path)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error}") from error
        self.stdout.write(f"{number} entries written to {path}.")

    def _import(self, **options: Any) -> None:
        try:
            if options["file"] == "-":
                lines = sys.stdin.read().splitlines()
            else:
                lines = Path(options["file"]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        try:
            if options["check"]:
                header, entries = transfer.read(lines)
                self.stdout.write(f"{len(entries)} entries of {header.installation} could be imported.")
                return
            with transaction.atomic():
                done = transfer.load(lines, redact, installation=options["installation"])
                counts = {"added": done.added, "updated": done.updated, "unchanged": done.unchanged}
                record("memory.imported", actor=Actor.system("memory import"), target=options["file"], data=counts)
        except transfer.BadFile as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{done.added} added, {done.updated} updated, {done.unchanged} known already.")
