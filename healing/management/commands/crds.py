"""`manage.py crds`: write the CustomResourceDefinitions of the chart."""

from __future__ import annotations

from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.cluster import crds
from healing.cluster.config import ClusterConfig
from healing.cluster.crds import DIRECTORY
from healing.cluster.kubernetes import KubernetesCluster
from healing.policies.crds import definitions
from healing.ports.errors import SourceError

_HEADER = "# Made by `manage.py crds` from healing/policies; do not edit.\n"


class Command(BaseCommand):
    """Writes helm/recist/crds, or compares it with what would be written."""

    help = "Write the CustomResourceDefinitions to helm/recist/crds, or --check that they are up to date."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: CommandParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--check", action="store_true", help="Change nothing; fail if a file is out of date.")
        group.add_argument(
            "--apply",
            action="store_true",
            help="Write no file: bring the cluster's definitions up to date with the shipped ones.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["apply"]:
            self._apply()
            return
        stale = []
        for name, definition in definitions().items():
            path = DIRECTORY / name
            text = _HEADER + yaml.safe_dump(definition, sort_keys=False, width=110, allow_unicode=True)
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(name)
            if not options["check"]:
                DIRECTORY.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"written: {path.relative_to(DIRECTORY.parents[2])}")
        if stale and options["check"]:
            raise CommandError(f"out of date: {', '.join(stale)}; run manage.py crds")

    def _apply(self) -> None:
        """To the cluster of KUBECONFIG, else to the one that this pod runs in."""
        here = next(iter(settings.CLUSTERS.values()))
        cluster = KubernetesCluster(ClusterConfig(here.kubeconfig, here.context))
        try:
            names = crds.apply(cluster, timeout_seconds=60)
        except SourceError as error:
            raise CommandError(f"The resource types cannot be applied: {error}") from error
        finally:
            cluster.close()
        self.stdout.write(f"applied: {', '.join(names)}")
