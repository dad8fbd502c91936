"""What reads which ConfigMap and Secret on the map: by name, drawn for what is chosen, and as a list."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing.detection import inventory
from healing.detection.cache import ObjectCache
from healing.detection.surveying import Surveyor
from healing.ports.cluster import Object
from tests.dashboard.test_map import clean_cache, deployment, publish, small, world

__all__ = ["clean_cache", "small"]

pytestmark = pytest.mark.django_db


def reader(space: str, name: str, volumes: list[dict[str, Any]], env: list[dict[str, Any]]) -> Object:
    made = deployment(space, name, 1)
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = volumes
    spec["containers"][0] |= {
        "env": env,
        "envFrom": [{"configMapRef": {"name": "common"}}],
        "volumeMounts": [{"name": volume["name"], "mountPath": f"/etc/{volume['name']}"} for volume in volumes],
    }
    return made


def test_the_map_says_what_reads_which_configuration_by_name_only(
    small: ObjectCache, client: Client, alice: User
) -> None:
    password = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-login", "key": "hunter2-key"}}}
    files = [{"name": "files", "projected": {"sources": [{"configMap": {"name": "routes"}}]}}]
    small.apply("ADDED", reader("shop", "mail", files, [password]))
    small.apply("ADDED", reader("shop", "jobs", [{"name": "tls", "secret": {"secretName": "web-tls"}}], []))
    publish(small)
    seen = inventory.read("default")
    assert seen is not None
    mail = seen.find("Deployment", "shop", "mail")
    assert mail is not None
    assert mail.reads == ("ConfigMap/common", "ConfigMap/routes", "Secret/db-login")
    client.force_login(alice)
    near = client.get("/map/?namespace=shop").content.decode()
    assert "mail → Secret db-login" in near
    assert "ConfigMap, read by 2" in near
    assert "web → orders" in near
    tile = re.search(r'data-tile="(\w+)"[^>]*><a[^>]*>jobs<', near)
    assert tile is not None
    drawn = re.findall(rf'<path class="read" d="M[^"]+" data-reader="{tile[1]}" data-config="(\w+)"', near)
    assert len(drawn) == 2
    assert all(f'<g class="config" data-config="{config}"' in near for config in drawn)
    found = client.get("/map/?text=db-login").content.decode()
    assert (">mail<" in found, ">jobs<" in found) == (True, False)
    page = client.get("/map/default/shop/Deployment/mail/").content.decode()
    assert "routes" in page
    assert "also read by" in page
    assert ">jobs</a>" in page
    assert "hunter2" not in near + page + repr(seen)
    # What it reads follows its template.
    changed = reader("shop", "mail", [], [])
    changed["metadata"]["generation"] = 2
    small.apply("MODIFIED", changed)
    surveyor = Surveyor("default", small, threading.Event())
    surveyor.look()
    seen = inventory.read("default")
    assert seen is not None
    assert seen.find("Deployment", "shop", "mail").reads == ("ConfigMap/common",)  # type: ignore[union-attr]


def test_many_readers_of_one_namespace_stay_readable(client: Client, alice: User) -> None:
    held = world(*(reader("shop", f"app-{n:03}", [], []) for n in range(40)))
    publish(held)
    client.force_login(alice)
    near = client.get("/map/?namespace=shop").content.decode()
    assert near.count('class="read"') == 40
    size = re.search(r'<svg viewBox="0 0 (\d+) (\d+)" width="\d+" height="\d+" role="group"', near)
    assert size is not None
    assert int(size[1]) < 1000 > int(size[2])
    publish(world(*(reader("shop", f"app-{n:03}", [], []) for n in range(500))))
    assert 'class="call-graph"' not in client.get("/map/?namespace=shop").content.decode()
    assert "common" in client.get("/map/default/shop/Deployment/app-007/").content.decode()
