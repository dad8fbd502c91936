"""`manage.py run`: the product with embedded stores, healing a real cluster."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from healing.cluster import versions
from recist_web.people import ensure_administrator
from recist_web.source_settings import SOURCES, of_environment
from recist_web.supervisor.banner import run_banner
from recist_web.supervisor.cluster import PreparedCluster
from recist_web.supervisor.database import keep_in, migrate
from recist_web.supervisor.errors import CannotStartError, StoppedError
from recist_web.supervisor.launch import Target, Tree
from recist_web.supervisor.rights import Rights, grant, left_out
from recist_web.supervisor.sources import unreachable


class Command(BaseCommand):
    help = "Start the whole product with embedded stores on an existing cluster; Ctrl-C stops all of it."

    # The environment's checks; the rest would load every model and page, which this process does not use.
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the cluster")
        parser.add_argument("--context", help="a context of the kubeconfig (default: its current one)")
        parser.add_argument(
            "--namespace",
            action="append",
            metavar="NAME",
            help="look into this namespace only (repeat it for more); default: WATCH_NAMESPACES, else all, or, where "
            "that is not allowed, the context's namespace",
        )
        parser.add_argument("--prometheus", metavar="URL", type=_url, help="without it no metrics are watched")
        parser.add_argument("--loki", metavar="URL", type=_url, help="without it logs are read from the cluster")
        parser.add_argument("--apply-crds", action="store_true", help="create or update ReCiSt's CRDs first")
        parser.add_argument("--echo", action="store_true", help="also print what the processes log")

    def handle(self, *args: Any, **options: Any) -> None:
        kubeconfig = options["kubeconfig"].expanduser().absolute()
        environment = settings.ENVIRONMENT.values
        try:
            cluster = PreparedCluster(kubeconfig, options["context"])
            # Each cluster has its own events, memory and people; the demo's passwords are known to everybody.
            var = settings.VAR_DIR / "clusters" / cluster.identity()
            with Tree(var, environment.PORT, self.say, echo=options["echo"]) as tree:
                tree.supervisor.stop_on_signals()
                self.say(f"ReCiSt is starting on {cluster.context} (Kubernetes {cluster.version}) ...")
                if advice := versions.advice(cluster.version):
                    self.say(f"Warning: {advice}")
                self._prepare(cluster, apply_crds=options["apply_crds"])
                rights = cluster.rights(environment.POD_NAMESPACE, options["namespace"] or environment.WATCH_NAMESPACES)
                self._tell(rights, environment.POD_NAMESPACE)
                target = Target(
                    cluster.name,
                    kubeconfig,
                    cluster.context,
                    options["prometheus"],
                    options["loki"],
                    rights.namespaces,
                    rights.lease_namespace,
                )
                accesses = (of_environment(environment, source) for source in SOURCES)
                for line in unreachable(target, *accesses):
                    self.say(line)
                tree.start_valkey()
                keep_in(var)
                migrate()
                login = ensure_administrator()
                tree.start_product(target)
                self.say(run_banner(tree.url, login, target, var))
                tree.supervisor.run()
                self.say("Stopping ...")
        except StoppedError:
            self.say("Stopped.")
        except CannotStartError as error:
            raise CommandError(str(error)) from error

    def _prepare(self, cluster: PreparedCluster, *, apply_crds: bool) -> None:
        if apply_crds:
            self.say(f"Applied {', '.join(cluster.apply_crds())}.")
        elif missing := cluster.missing_crds():
            self.say(
                f"The cluster does not know {', '.join(missing)}: kubectl shows no events, and policies are those of "
                "the admin site only.\n  To have them, start with --apply-crds, or run: kubectl apply -f "
                "helm/recist/crds/"
            )

    def _tell(self, rights: Rights, wanted_lease: str) -> None:
        if rights.namespaces:
            self.say(
                f"Looking into {', '.join(rights.namespaces)} only. Others: --namespace NAME, where it is allowed."
            )
        if rights.lease_namespace != wanted_lease:
            self.say(f"The watchers' Lease is held in {rights.lease_namespace}: in {wanted_lease} it is not allowed.")
        if rights.lacking:
            self.say("The cluster's user lacks some rights, and what needs them is left out. It")
            for line in left_out(rights.lacking):
                self.say(f"  {line}")
            self.say(
                f"{grant(rights.lacking)}\n  All that suffices: helm/recist/templates/rbac.yaml (docs/security.md)."
            )

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _url(value: str) -> str:
    """For argparse."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentTypeError(f"{value!r} is not a URL: write it as http://host:port")
    return value.rstrip("/")
