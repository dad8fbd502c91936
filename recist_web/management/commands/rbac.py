"""`manage.py rbac`: writes the rules of the chart's roles from what the code needs."""

from __future__ import annotations

from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser

from recist_web import rbac
from recist_web.environment import PROJECT_DIR

FILE = PROJECT_DIR / "helm" / "recist" / "files" / "rules.yaml"
_HEAD = "# Written by `manage.py rbac` from what the code does: change it there.\n"


class Command(BaseCommand):
    help = "Generate the rules of the chart's roles (helm/recist/files/rules.yaml) from what the code needs."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only say whether the file is current (exit code 1: no)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, text = FILE, _HEAD + yaml.safe_dump(rbac.chart_rules(), width=1000, sort_keys=False)
        if not options["check"]:
            path.write_text(text, encoding="utf-8")
            self.stdout.write(f"Wrote {path}.")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise CommandError("helm/recist/files/rules.yaml is not current: run `manage.py rbac`.")
