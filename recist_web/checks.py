"""System checks of the installation: `manage.py check` prints them, each with an id and what to do.

| id | meaning |
|---|---|
| recist.E001 | an environment variable has a value that cannot be used |
| recist.E002 | SECRET_KEY is not set (deployment check; the web process refuses to start) |
| recist.W001 | a variable looks like a misspelling of one of ours |
| recist.W002 | variables that exclude each other are set |
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name for it

from recist_web.clusters import SINGLE
from recist_web.environment import ParsedEnvironment


@register(Tags.compatibility)
def environment_variables(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    parsed: ParsedEnvironment = settings.ENVIRONMENT
    problems = (*parsed.problems, *settings.CLUSTER_PROBLEMS)
    found: list[CheckMessage] = [Error(p.message, hint=p.hint, id="recist.E001") for p in problems]
    found += [Warning(p.message, hint=p.hint, id="recist.W001") for p in parsed.suspicions]
    if parsed.values.QDRANT_PATH and "QDRANT_URL" in parsed.values.model_fields_set:
        found.append(
            Warning(
                "QDRANT_PATH and QDRANT_URL are both set; the embedded Qdrant in QDRANT_PATH is used",
                hint="Unset the one you do not mean.",
                id="recist.W002",
            )
        )
    idle = [name for name in SINGLE if name in parsed.values.model_fields_set]
    if parsed.values.CLUSTERS_FILE and idle:
        found.append(
            Warning(
                f"CLUSTERS_FILE is set, so {', '.join(idle)} count for nothing",
                hint="Say it in the file, and unset them.",
                id="recist.W002",
            )
        )
    return found


@register(Tags.security, deploy=True)
def secret_key(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.SECRET_KEY_IS_SET:
        return []
    return [
        Error(
            "SECRET_KEY is not set",
            hint="Set SECRET_KEY (or SECRET_KEY_FILE) to a random text of 50 characters or more, "
            "the same for all processes.",
            id="recist.E002",
        )
    ]


def refuse_to_start() -> None:
    """For server processes, which run no checks by themselves: end with a plain message instead of half-working."""
    wrong = [message for message in environment_variables(None) if message.is_serious()]
    wrong += secret_key(None)
    if wrong:
        lines = "\n".join(f"  ({message.id}) {message.msg}. {message.hint}" for message in wrong)
        raise SystemExit(f"ReCiSt cannot start with this environment:\n{lines}")
