"""`manage.py rbac`: writes the rules of the chart's roles from what the code needs."""

from __future__ import annotations

from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser

from recist_web import rbac
from recist_web.environment import PROJECT_DIR

DIRECTORY = PROJECT_DIR / "helm" / "recist" / "files"
_HEAD = "# Written by `manage.py rbac` from what the code does: change it there.\n"


class Command(BaseCommand):
    help = "Generate the rules of the chart's roles (helm/recist/files/) from what the actions and the watcher need."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only say whether the files are current (exit code 1: no)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = {"cluster-rules.yaml": rbac.cluster_wide(), "namespace-rules.yaml": rbac.own_namespace()}
        for name, permissions in wanted.items():
            path, text = DIRECTORY / name, _HEAD + yaml.safe_dump(rbac.rules(permissions), width=1000)
            if not options["check"]:
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"Wrote {path}.")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                raise CommandError(f"helm/recist/files/{name} is not current: run `manage.py rbac`.")
