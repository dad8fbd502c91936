"""`manage.py prune`: forget what ended long ago."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from healing import retention


class Command(BaseCommand):
    help = "Delete what is older than RETENTION_DAYS and RETENTION_DETAIL_DAYS say. Beat does so every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how much it would be")

    def handle(self, *args: Any, **options: Any) -> None:
        dry = bool(options["dry_run"])
        counted = retention.prune(timezone.now(), seconds=float("inf"), dry_run=dry)
        told = ", ".join(f"{count} {name}" for name, count in counted.items() if count)
        verb = "Would delete" if dry else "Deleted"
        self.stdout.write(f"{verb}: {told or 'nothing'}.")
        kept = settings.RETENTION_DAYS, settings.RETENTION_DETAIL_DAYS
        self.stdout.write(f"Kept are events for {kept[0] or 'all'} days, details for {kept[1] or 'all'} days.")
