"""`manage.py watch`: see faults happen."""

from __future__ import annotations

import signal
import threading
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from healing.detection.watcher import Options, Watcher
from healing.ports import get_ports

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, through outages of everything it talks to."""

    help = (
        "Watch the cluster and its metrics, and open healing events. Several may run: the one that holds the Lease "
        "recist-watcher acts."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            ports = get_ports(settings.CLUSTER_NAME)
        except LookupError as error:
            raise CommandError(str(error)) from error
        namespaces = settings.POLICY_NAMESPACES
        watcher = Watcher(ports, Options(lease_namespace=settings.POD_NAMESPACE, policy_namespaces=namespaces))
        log.info("watching", cluster=settings.CLUSTER_NAME, identity=watcher.elector.identity)
        watcher.run(stop)
        log.info("watching ended")
