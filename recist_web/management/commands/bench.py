"""`manage.py bench`: measure, section by section."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from recist_web.bench import report, runner

BAD_USAGE, WRONG = 2, 1


class Command(BaseCommand):
    help = (
        "Measure how fast ReCiSt is and what it costs, in sections. Exit code 0: all was measured, whether or not it "
        "met its target; 1: a section could not be measured, or what must never happen has happened; 2: bad usage."
    )
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--only", action="append", default=[], metavar="SECTION", help="measure this one (repeatable)"
        )
        parser.add_argument("--list", action="store_true", help="only say which sections there are")
        parser.add_argument("--smoke", action="store_true", help="small numbers: whether it works, not how fast it is")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write there; other sections' entries stay")
        parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the same as a page")

    def handle(self, *args: Any, **options: Any) -> None:
        known = runner.names()
        if options["list"]:
            for name in known:
                self.say(f"{name}: {runner.load(name).TITLE}")
            return
        unknown = sorted(set(options["only"]) - set(known))
        if unknown:
            raise CommandError(
                f"There is no section {', '.join(unknown)}; there is: {', '.join(known)}.", returncode=BAD_USAGE
            )
        for name in ("json", "markdown"):
            if options[name] is not None and not options[name].parent.is_dir():
                raise CommandError(f"{options[name].parent} is not a directory.", returncode=BAD_USAGE)
        chosen = [name for name in known if not options["only"] or name in options["only"]]
        fresh = runner.measure(chosen, "smoke" if options["smoke"] else "full", self.say)
        entries = report.merged(options["json"], fresh)
        if options["json"]:
            report.write_json(entries, options["json"])
        if options["markdown"]:
            options["markdown"].write_text(report.markdown(entries), encoding="utf-8")
        for entry in fresh:
            self.say(f"\n{entry['title']} ({entry['tookSeconds']:g} s)")
            for line in [*report.table(entry)[2:], *(f"WRONG: {failure}" for failure in entry["failures"])]:
                self.say(f"  {line}")
        wrong = [entry["section"] for entry in fresh if entry["failures"]]
        if wrong:
            raise CommandError(f"Something is wrong in: {', '.join(wrong)}.", returncode=WRONG)

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
