import pytest
from django.test import Client


def test_livez_answers_without_any_store(client: Client) -> None:
    assert client.get("/livez").content == b"ok\n"


@pytest.mark.django_db
@pytest.mark.both_databases
def test_readyz_names_each_part(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200, response.content
    assert {name: part["ok"] for name, part in response.json()["parts"].items()} == {
        "database": True,
        "migrations": True,
        "valkey": True,
    }


@pytest.mark.django_db
def test_readyz_tells_the_truth_about_a_lost_valkey(client: Client, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9"  # type: ignore[attr-defined]
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["valkey"]["error"] == "ConnectionError"
    assert response.json()["parts"]["database"]["ok"] is True
