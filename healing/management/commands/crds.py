"""`manage.py crds`: write the CustomResourceDefinitions of the chart."""

from __future__ import annotations

from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.cluster.crds import DIRECTORY
from healing.policies.crds import definitions

_HEADER = "# Made by `manage.py crds` from healing/policies; do not edit.\n"


class Command(BaseCommand):
    """Writes helm/recist/crds, or compares it with what would be written."""

    help = "Write the CustomResourceDefinitions to helm/recist/crds, or --check that they are up to date."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; fail if a file is out of date.")

    def handle(self, *args: Any, **options: Any) -> None:
        stale = []
        for name, definition in definitions().items():
            path = DIRECTORY / name
            text = _HEADER + yaml.safe_dump(definition, sort_keys=False, width=110, allow_unicode=True)
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(name)
            if not options["check"]:
                DIRECTORY.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"written: {path.relative_to(DIRECTORY.parents[2])}")
        if stale and options["check"]:
            raise CommandError(f"out of date: {', '.join(stale)}; run manage.py crds")
