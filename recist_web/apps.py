"""The wiring as a Django app: system checks and the commands that start the process tree."""

import sys

from django.apps import AppConfig


class RecistWebConfig(AppConfig):
    name = "recist_web"
    verbose_name = "ReCiSt"

    def ready(self) -> None:
        if sys.argv[1:2] == ["watch"]:
            from recist_web import tracing  # noqa: PLC0415 - it needs loaded settings

            tracing.install("watcher")
        from recist_web import checks  # noqa: F401, PLC0415 - registers the checks; needs loaded settings
