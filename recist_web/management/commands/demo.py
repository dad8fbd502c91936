"""`manage.py demo`: the whole product on an embedded cluster, with faults to heal."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from recist_web.people import ensure_demo_people
from recist_web.supervisor.banner import demo_banner
from recist_web.supervisor.database import migrate
from recist_web.supervisor.errors import CannotStartError, StoppedError
from recist_web.supervisor.launch import SandboxRequest, Tree


class Command(BaseCommand):
    help = "Start the embedded cluster, its faults, and the whole product; Ctrl-C stops all of it."

    # The environment's checks; the rest would load every model and page, which this process does not use.
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--scenario", default="demo", help="what happens in the embedded cluster (name or file)")
        parser.add_argument("--echo", action="store_true", help="also print what the processes log")

    def handle(self, *args: Any, **options: Any) -> None:
        environment = settings.ENVIRONMENT.values
        wanted = SandboxRequest(
            options["scenario"], settings.VAR_DIR / "sandbox" / "kubeconfig", faults=environment.DEMO_FAULTS
        )
        try:
            with Tree(settings.VAR_DIR, environment.PORT, self.say, echo=options["echo"]) as tree:
                tree.supervisor.stop_on_signals()
                self.say("ReCiSt is starting ...")
                wait_for_sandbox = tree.start_sandbox(wanted)
                tree.start_valkey()
                migrate()
                logins = ensure_demo_people()
                target = wait_for_sandbox()
                tree.start_product(target)
                self.say(demo_banner(tree.url, logins, target, tree.var / "log", faults=wanted.faults))
                # Started by make: when that is killed, nobody is left who could stop us.
                tree.supervisor.run(with_parent="MAKELEVEL" in os.environ)
                self.say("Stopping ...")
        except StoppedError:
            self.say("Stopped.")
        except CannotStartError as error:
            raise CommandError(str(error)) from error

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
