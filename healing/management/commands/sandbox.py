"""`manage.py sandbox`: only the embedded cluster."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.sandbox.server import SandboxError, add_arguments, options_from, run


class Command(BaseCommand):
    """Runs until SIGINT or SIGTERM."""

    help = "Run the embedded cluster; writes a kubeconfig and prints where the API, Prometheus and Loki are."
    # Nothing here needs the database.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run(options_from(options))
        except SandboxError as error:
            raise CommandError(str(error)) from error
