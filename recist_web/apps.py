"""The wiring as a Django app: system checks and the commands that start the process tree."""

from django.apps import AppConfig


class RecistWebConfig(AppConfig):
    name = "recist_web"
    verbose_name = "ReCiSt"

    def ready(self) -> None:
        from recist_web import checks  # noqa: F401, PLC0415 - registers the checks; needs loaded settings
