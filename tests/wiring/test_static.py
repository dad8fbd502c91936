"""Static files: hashed and compressed in an image, as they are in a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from recist_web.environment import PROJECT_DIR

# A request to the sign-in page and to the first file it names, by a fresh process.
PROBE = """
import os, re
os.environ["DJANGO_SETTINGS_MODULE"] = "recist_web.settings"
import django
django.setup()
from django.test import Client
page = Client().get("/login/", headers={"host": "localhost"}).content.decode()
path = re.search(r'href="(/static/css/[^"]+)"', page)[1]
response = Client().get(path, headers={"host": "localhost", "accept-encoding": "gzip"})
print(path, response.status_code, response.headers["Cache-Control"], response.headers.get("Content-Encoding"))
"""


@pytest.mark.django_db
def test_a_checkout_serves_its_files_without_a_build(client: Client) -> None:
    page = client.get("/login/").content.decode()
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        response = client.get(path)
        assert response.status_code == 200, path
        assert b"".join(response)
        response.close()


def test_an_image_serves_hashed_compressed_files_that_may_be_kept_for_ever(tmp_path: Path) -> None:
    for name in ("manage.py", "recist_web", "healing", "knowledge", "templates", "static"):
        source, copy = PROJECT_DIR / name, tmp_path / name
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
    path, status, *caching, encoding = run("-c", PROBE).split()
    assert re.search(r"\.[0-9a-f]{12}\.css$", path)
    assert status == "200"
    assert "immutable" in caching
    assert encoding == "gzip"
