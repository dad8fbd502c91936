"""JSON of the cluster's own objects, in which what looks like a secret is encrypted in the database.

What is put back has to be known exactly as it was, so it cannot be redacted; and a password that somebody wrote into a
manifest is no business of whoever reads a dump of our database. So only such values are sealed, with a key made of
SECRET_KEY; all others stay readable, and rows of before are read as they are.

Code of before knows nothing of this, and runs beside ours while an installation is upgraded or taken back. It must not
send to a cluster what is encrypted. So a value that holds anything sealed is kept as one text (`WHOLE`): to old code no
object and no list, so it fails before it has a plan.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models

from healing.redaction import redact_json

PREFIX = "sealed:1:"
#: Begins the text that a whole value with something sealed in it becomes in the database; its JSON follows.
WHOLE = "sealed:2:"


def seal(value: Any) -> Any:
    """The same, with what looks like a secret sealed. Without a SECRET_KEY of the installation each process
    has its own, and no other could read it: then nothing is sealed."""
    if not settings.SECRET_KEY_IS_SET:
        return value
    return _sealed(value, redact_json(value))


def unseal(value: Any) -> Any:
    """The other way round. What another key has sealed stays as it is: `is_sealed`."""
    return _each(value, _opened) if is_sealed(value) else value


def is_sealed(value: Any) -> bool:
    """Whether there is anything in it that is sealed; it must never be sent to a cluster."""
    if isinstance(value, str):
        return value.startswith(PREFIX)
    if isinstance(value, dict):
        return any(is_sealed(entry) for entry in value.values())
    return isinstance(value, list | tuple) and any(is_sealed(entry) for entry in value)


def _sealed(value: Any, redacted: Any) -> Any:
    """``redacted`` has the same shape."""
    if isinstance(value, str):
        is_plain = value == redacted or value.startswith(PREFIX)
        return value if is_plain else PREFIX + _keys().encrypt(value.encode()).decode()
    if isinstance(value, dict):
        return {key: _sealed(entry, redacted[key]) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_sealed(entry, other) for entry, other in zip(value, redacted, strict=True)]
    return value


def _opened(text: str) -> str:
    if not text.startswith(PREFIX):
        return text
    try:
        return _keys().decrypt(text.removeprefix(PREFIX)).decode()
    except InvalidToken:
        return text


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each(entry, change) for key, entry in value.items()}
    return [_each(entry, change) for entry in value] if isinstance(value, list) else value


def _to_store(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    sealed = seal(value)
    return WHOLE + json.dumps(sealed, ensure_ascii=False) if is_sealed(sealed) else sealed


def _from_store(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(WHOLE):
        value = json.loads(value.removeprefix(WHOLE))
    return unseal(value)


def _keys() -> MultiFernet:
    return _keys_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@functools.lru_cache(maxsize=4)
def _keys_of(secrets: tuple[str, ...]) -> MultiFernet:
    def key(secret: str) -> Fernet:
        derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"recist sealed JSON")
        return Fernet(base64.urlsafe_b64encode(derived.derive(secret.encode())))

    return MultiFernet([key(secret) for secret in secrets])


class SealedJSONField(models.JSONField):
    """Sealed in the database and in `manage.py dumpdata`, plain in Python. The column is that of a JSONField."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's
        """Sealed."""
        return super().get_db_prep_value(_to_store(value), connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Plain."""
        return _from_store(super().from_db_value(value, expression, connection))

    def to_python(self, value: Any) -> Any:
        """Plain, also from a dump."""
        return _from_store(super().to_python(value))

    def value_to_string(self, obj: models.Model) -> Any:
        """As a dump has it."""
        return _to_store(self.value_from_object(obj))

    def deconstruct(self) -> Any:
        """For migrations it is a JSONField."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
