"""`manage.py run`: the product with embedded stores, healing a real cluster."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from recist_web.people import ensure_administrator
from recist_web.supervisor.banner import run_banner
from recist_web.supervisor.cluster import PreparedCluster
from recist_web.supervisor.database import migrate
from recist_web.supervisor.errors import CannotStartError, StoppedError
from recist_web.supervisor.launch import Target, Tree


class Command(BaseCommand):
    help = "Start the whole product with embedded stores on an existing cluster; Ctrl-C stops all of it."

    # The environment's checks; the rest would load every model and page, which this process does not use.
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the cluster")
        parser.add_argument("--context", help="a context of the kubeconfig (default: its current one)")
        parser.add_argument("--prometheus", metavar="URL", type=_url, help="without it no metrics are watched")
        parser.add_argument("--loki", metavar="URL", type=_url, help="without it logs are read from the cluster")
        parser.add_argument("--apply-crds", action="store_true", help="create or update ReCiSt's CRDs first")
        parser.add_argument("--echo", action="store_true", help="also print what the processes log")

    def handle(self, *args: Any, **options: Any) -> None:
        kubeconfig = options["kubeconfig"].expanduser().absolute()
        try:
            cluster = PreparedCluster(kubeconfig, options["context"])
            self._look_after_crds(cluster, apply=options["apply_crds"])
            target = Target(cluster.name, kubeconfig, cluster.context, options["prometheus"], options["loki"])
            with Tree(settings.VAR_DIR, settings.ENVIRONMENT.values.PORT, self.say, echo=options["echo"]) as tree:
                tree.supervisor.stop_on_signals()
                self.say(f"ReCiSt is starting on {cluster.context} (Kubernetes {cluster.version}) ...")
                tree.start_valkey()
                migrate()
                login = ensure_administrator()
                tree.start_product(target)
                self.say(run_banner(tree.url, login, target, tree.var / "log"))
                tree.supervisor.run()
                self.say("Stopping ...")
        except StoppedError:
            self.say("Stopped.")
        except CannotStartError as error:
            raise CommandError(str(error)) from error

    def _look_after_crds(self, cluster: PreparedCluster, *, apply: bool) -> None:
        if apply:
            self.say(f"Applied {', '.join(cluster.apply_crds())}")
        elif missing := cluster.missing_crds():
            raise CannotStartError(
                f"The cluster does not know {', '.join(missing)}. Let ReCiSt create them with --apply-crds, "
                "or run: kubectl apply -f helm/recist/crds/"
            )

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _url(value: str) -> str:
    """For argparse, which turns the ValueError into a message."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(value)
    return value.rstrip("/")
