"""`manage.py rebuild_memory`: embed everything anew, after a change of the model or a loss of Qdrant."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from knowledge import rebuilding
from knowledge.memory import ask_for_indexing
from knowledge.tasks import index_pending

_POLL_SECONDS = 0.5
#: The worker has to show progress within this time, else nobody is working.
_PATIENCE_SECONDS = 60.0


class Command(BaseCommand):
    help = "Embed every entry of the memory anew and fill the index again, with progress."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--here", action="store_true", help="Work in this process; the workers must be stopped.")
        parser.add_argument("--no-wait", action="store_true", help="Only queue it; the worker goes on by itself.")

    def handle(self, *args: Any, **options: Any) -> None:
        state = rebuilding.start()
        self.stdout.write(f"{state.total} entries for {state.model} ({state.dims} dimensions).")
        if options["here"]:
            index_pending()
        else:
            ask_for_indexing()
        if not options["no_wait"]:
            self._wait()

    def _wait(self) -> None:
        shown, moved_at = -1, time.monotonic()
        while (state := rebuilding.state()) is not None:
            if state.done != shown:
                shown, moved_at = state.done, time.monotonic()
                self.stdout.write(f"{min(state.done, state.total)} of {state.total}")
            if state.finished_at is not None:
                self.stdout.write("Done.")
                return
            if time.monotonic() - moved_at > _PATIENCE_SECONDS:
                raise CommandError(
                    "No progress for a minute. Is the knowledge worker running, and does Qdrant answer? What is left"
                    " stays queued and is indexed as soon as they do; recall finds what is embedded meanwhile."
                )
            time.sleep(_POLL_SECONDS)
