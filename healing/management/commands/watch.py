"""`manage.py watch`: see faults happen."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from healing import shared_clock
from healing.detection.watcher import Options, Watcher, run_all
from healing.ports import get_ports

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, through outages of everything it talks to."""

    help = (
        "Watch the clusters and their metrics, and open healing events. Several may run: for each cluster, the one "
        "that holds the Lease recist-watcher acts."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--cluster", action="append", metavar="NAME", help="watch this one (repeat it for more); default: all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        shared_clock.follow()
        watchers = [_watcher(name) for name in dict.fromkeys(options["cluster"] or settings.CLUSTERS)]
        log.info("watching", clusters=[w.cluster_name for w in watchers], identity=watchers[0].elector.identity)
        run_all(watchers, stop)
        log.info("watching ended")


def _watcher(name: str) -> Watcher:
    try:
        ports = get_ports(name)
    except LookupError as error:
        raise CommandError(str(error)) from error
    here = settings.CLUSTERS.get(name)
    namespaces = here.policy_namespaces if here is not None else ()
    return Watcher(ports, Options(lease_namespace=settings.POD_NAMESPACE, policy_namespaces=namespaces))
