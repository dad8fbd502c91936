"""`manage.py doctor`: is everything there that ReCiSt needs, and what to do where it is not."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from recist_web.clusters import some_of
from recist_web.doctor import checks, report, runner


class Command(BaseCommand):
    """Changes nothing. Works when everything is broken."""

    help = (
        "Check everything that ReCiSt needs, and say what to do. Exit code 0: in order; 1: warnings; 2: something does "
        "not work."
    )
    # What the system checks would say is among the findings; they must not keep the command from telling the rest.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list of findings as JSON")
        parser.add_argument("--cluster", action="append", metavar="NAME", help="only this one (repeatable)")
        parser.add_argument(
            "--ask-llm", action="store_true", help="ask the language model one question (costs a little)"
        )
        parser.add_argument("--timeout", type=float, default=runner.TIMEOUT_SECONDS, help="seconds for all of it")

    def handle(self, *args: Any, **options: Any) -> None:
        names = list(dict.fromkeys(options["cluster"] or settings.CLUSTERS))
        unknown = [name for name in names if name not in settings.CLUSTERS]
        if unknown:
            raise CommandError(
                f"There is no cluster {unknown[0]!r}; there is: {some_of(settings.CLUSTERS)}.", returncode=2
            )
        found = runner.run(checks.of(names, ask_llm=options["ask_llm"]), timeout_seconds=options["timeout"])
        level = report.worst(found)
        if options["json"]:
            told = {"level": level.name.lower(), "findings": [finding.as_json() for finding in found]}
            self.stdout.write(json.dumps(told, indent=2))
        else:
            self.stdout.write("\n".join(report.in_lines(found)))
        if level:
            sys.exit(int(level))
