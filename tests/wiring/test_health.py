import pytest
from django.test import Client
from pytest_django import Settings


def test_livez_answers_without_any_store(client: Client) -> None:
    assert client.get("/livez").content == b"ok\n"


def test_probes_are_answered_at_any_address_and_without_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/livez", headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/login/", headers={"host": "localhost"}).status_code == 301
    assert client.get("/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400


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
def test_readyz_tells_the_truth_about_a_lost_valkey(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9"
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["valkey"]["error"] == "ConnectionError"
    assert response.json()["parts"]["database"]["ok"] is True


@pytest.mark.django_db
def test_metrics_tell_of_this_process_and_of_the_record(client: Client) -> None:
    text = client.get("/metrics").content.decode()
    assert "recist_database_up 1.0" in text
    assert "recist_approvals_open 0.0" in text
    assert "process_resident_memory_bytes" in text
