"""The whole API, asked by schemathesis from its document: no 5xx, no undocumented status, every answer as described.

Runs as an admin over WSGI in this process, against the test's database with a story told in it. `SCHEMATHESIS_EXAMPLES`
asks for more than the few examples an operation gets by default.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from healing.api import api, limits
from tests.dashboard import story

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
PASSWORD = "correct horse battery"

schema = schemathesis.openapi.from_dict(api.get_openapi_schema())
OPERATIONS = [result.ok() for result in schema.get_all_operations()]


@pytest.fixture
def root(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Headers of an admin, who sees a story."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr(limits, "REQUESTS_A_MINUTE", 1_000_000)
    monkeypatch.setattr(limits, "WEBHOOKS_A_MINUTE", 1_000_000)
    user = User.objects.create_superuser("root", password=PASSWORD)
    story.tell_all(datetime.now(UTC), user)
    # The test's transaction is in this connection: as Django's test client does, nothing may close it.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield {"Authorization": "Basic " + b64encode(f"root:{PASSWORD}".encode()).decode()}
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_as_the_document_says(operation: Any, root: dict[str, str]) -> None:
    operation.app = get_wsgi_application()

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.headers = {**(case.headers or {}), **root}
        response = case.call(app=operation.app)
        case.validate_response(response, checks=CHECKS)

    ask()
