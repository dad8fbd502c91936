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
from django.db import close_old_connections, transaction
from django.test import override_settings
from hypothesis import HealthCheck, Phase, given, settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from healing.api import api, limits
from healing.ports import Ports
from healing.ports.errors import Unavailable
from tests.dashboard import story

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "6"))
PASSWORD = "correct horse battery"

schema = schemathesis.openapi.from_dict(api.get_openapi_schema())
OPERATIONS = [result.ok() for result in schema.get_all_operations()]


class Away:
    """A cluster that does not answer: what asks it has to say so, at once."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            raise Unavailable("connection refused")

        return call


def away(cluster_name: str) -> Ports:
    """Setting HEALING_PORTS_FACTORY."""
    return Ports(cluster_name, Away())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def told(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """Headers of an admin, who sees a story. Told once, and taken back in the end."""
    changed = override_settings(HEALING_PORTS_FACTORY="tests.api.test_schemathesis.away")
    # The test's transaction is in this connection: as Django's test client does, nothing may close it.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    with pytest.MonkeyPatch.context() as patch, changed, django_db_blocker.unblock(), transaction.atomic():
        patch.setattr(limits, "REQUESTS_A_MINUTE", 1_000_000)
        patch.setattr(limits, "WEBHOOKS_A_MINUTE", 1_000_000)
        user = User.objects.create_superuser("root", password=PASSWORD)
        story.tell_all(datetime.now(UTC), user)
        yield {"Authorization": "Basic " + b64encode(f"root:{PASSWORD}".encode()).decode()}
        transaction.set_rollback(True)
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


@pytest.fixture
def root(told: dict[str, str]) -> Iterator[dict[str, str]]:
    """As `told`; what one operation changes, the next does not see."""
    with transaction.atomic():
        yield told
        transaction.set_rollback(True)


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
