"""`manage.py causes`: writes docs/causes.md from the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.diagnosis.catalogue import markdown


class Command(BaseCommand):
    help = "Generate docs/causes.md, the list of every cause a diagnosis can name."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only say whether the file is current (exit code 1: no)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "causes.md"
        wanted = markdown()
        if options["check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != wanted:
                raise CommandError("docs/causes.md is not current: run `manage.py causes`.")
            return
        path.write_text(wanted, encoding="utf-8")
        self.stdout.write(f"Wrote {path}.")
