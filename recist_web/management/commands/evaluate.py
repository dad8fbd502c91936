"""`manage.py evaluate`: scenarios through the whole product, and how well it did."""

from __future__ import annotations

import logging
import os
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from recist_web.evaluation import report, report_html, report_markdown, scripted_model, terminal
from recist_web.evaluation.conduct import conduct
from recist_web.evaluation.run import Evaluation, Options, Outcome
from recist_web.evaluation.scoring import score
from recist_web.evaluation.selection import Chosen, SelectionError, select
from recist_web.evaluation.split import DEFAULT_SEED
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.ports import free_port

#: What two cores carry without the worlds' event loops being late; docs/evaluation.md has the measurements.
DEFAULT_PARALLEL = 24
BAD_USAGE, NOT_RUN = 2, 1


class Command(BaseCommand):
    help = (
        "Run scenarios in embedded clusters through the whole product, and report how well it detects, diagnoses and "
        "heals. Exit code 0: all scenarios ran, however they went; 1: some could not be run, or a file is wrong; "
        "2: bad usage."
    )

    # The environment's checks; the rest would load every model and page, which this process does not use.
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--scenarios", type=Path, action="append", default=[], metavar="PATH",
            help="a directory of scenario files, or one file (repeat it for more; default: the bundled ones)",
        )  # fmt: skip
        parser.add_argument("--only", action="append", default=[], metavar="NAME", help="run this one (repeatable)")
        parser.add_argument("--split", choices=("dev", "sealed", "all"), default="all", help="default: %(default)s")
        parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the split (default: %(default)s)")
        parser.add_argument(
            "--approve", choices=("auto", "none"), default="auto",
            help="auto: a stand-in approves what waits for a person; none: nobody answers (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--parallel", type=_positive, default=DEFAULT_PARALLEL, metavar="N",
            help="how many worlds at a time (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--observe", type=_positive, default=60, metavar="SECONDS",
            help="how long a healthy world is watched after its last step (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--llm", choices=("configured", "scripted"), default="configured",
            help="configured: the model of LLM_MODEL, if one is set; scripted: a stand-in with a model's good and bad "
            "times, asked about every event (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there (.gz: compressed)")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write the report there as a web page")
        parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary there as Markdown")
        parser.add_argument("--validate", action="store_true", help="only check the scenario files")
        parser.add_argument("--keep", "--watch", action="store_true", help="leave the dashboard and the worlds up")
        parser.add_argument("--port", type=int, default=0, help="of the dashboard (default: a free one)")
        parser.add_argument("--echo", action="store_true", help="also print what the processes log")
        parser.add_argument("--conduct", type=Path, help=SUPPRESS)  # how the command starts its second process

    def handle(self, *args: Any, **options: Any) -> None:
        if options["conduct"]:
            conduct(options["conduct"])
            return
        try:
            chosen = select(options["scenarios"], only=options["only"], split=options["split"], seed=options["seed"])
        except SelectionError as error:
            self.stderr.write("\n".join(error.problems))
            raise CommandError(
                f"{_counted(len(error.problems), 'problem')}; nothing was run.", returncode=NOT_RUN
            ) from error
        if options["validate"]:
            self.say(f"{_counted(len(chosen), 'scenario')}, no problems.")
            return
        if not chosen:
            reason = "No scenario is left to run: those of --only are not in this --split."
            raise CommandError(reason, returncode=BAD_USAGE)
        for name in ("json", "html", "markdown"):
            if options[name] is not None and not options[name].parent.is_dir():
                raise CommandError(f"{options[name].parent} is not a directory.", returncode=BAD_USAGE)
        # The stand-ins' accounts are written to the trail; whoever waits for numbers need not read that here.
        logging.getLogger("healing.audit").setLevel(logging.WARNING)
        self._evaluate(chosen, options)

    def _evaluate(self, chosen: list[Chosen], options: dict[str, Any]) -> None:
        done = 0

        def ended(record: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            shown = bool(options["only"])  # who names a sealed scenario wants to see it
            self.say(terminal.line(record, score(record), done, len(chosen), show_sealed=shown))

        wanted = Options(
            parallel=min(options["parallel"], len(chosen)),
            port=options["port"] or free_port(),
            approve=options["approve"],
            keep=options["keep"],
            observe_seconds=options["observe"],
            echo=options["echo"],
            consult="always" if options["llm"] == "scripted" else "whenUnsure",
        )
        self.say(f"{_counted(len(chosen), 'scenario')}, {wanted.parallel} at a time ...")
        try:
            with language_model(options["llm"]), Evaluation(chosen, wanted, self.say) as evaluation:
                outcome = evaluation.run(ended)
                found = self._report(outcome, options)
                if options["keep"] and not outcome.interrupted:
                    evaluation.stay()
        except CannotStartError as error:
            raise CommandError(str(error)) from error
        not_run = [s["name"] for s in found["scenarios"] if not s["score"]["ran"]]
        if outcome.interrupted and len(found["scenarios"]) < len(chosen):
            raise CommandError("Stopped before all scenarios had ended.", returncode=NOT_RUN)
        if not_run:
            raise CommandError(f"Could not be run: {', '.join(not_run)}.", returncode=NOT_RUN)

    def _report(self, outcome: Outcome, options: dict[str, Any]) -> dict[str, Any]:
        chosen = {
            "seed": options["seed"],
            "approve": options["approve"],
            "split": options["split"],
            "observeSeconds": options["observe"],
            "llm": "scripted" if options["llm"] == "scripted" else settings.LLM_MODEL or "none",
            "database": "SQLite" if settings.ENVIRONMENT.values.DATABASE_URL is None else "PostgreSQL",
        }
        found = report.build(outcome.records, settings=chosen, machine=outcome.machine)
        if options["json"]:
            report.write_json(found, options["json"])
        if options["html"]:
            options["html"].write_text(report_html.render(found), encoding="utf-8")
        if options["markdown"]:
            options["markdown"].write_text(report_markdown.render(found), encoding="utf-8")
        self.say("\n" + terminal.summary(found))
        return found

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


@contextmanager
def language_model(kind: str) -> Iterator[None]:
    """Has the product's processes ask the stand-in, for the time of the block; ``configured`` changes nothing."""
    if kind != "scripted":
        yield
        return
    with scripted_model.serving() as url:
        os.environ |= {"LLM_MODEL": scripted_model.NAME, "LLM_BASE_URL": url, "LLM_API_KEY": "none"}
        yield


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
