"""`manage.py queries`: writes docs/queries.md from the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.queries.page import markdown
from healing.queries.requests import DISCOVER_EVERY_SECONDS


class Command(BaseCommand):
    help = "Generate docs/queries.md, the list of everything that is asked of Prometheus and Loki."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only say whether the file is current (exit code 1: no)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "queries.md"
        wanted = markdown(DISCOVER_EVERY_SECONDS)
        if options["check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != wanted:
                raise CommandError("docs/queries.md is not current: run `manage.py queries`.")
            return
        path.write_text(wanted, encoding="utf-8")
        self.stdout.write(f"Wrote {path}.")
