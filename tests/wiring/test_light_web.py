"""The web process stays light: it starts in a moment and holds no model, vector database or language model client."""

from __future__ import annotations

import json
import subprocess
import sys

from recist_web.environment import PROJECT_DIR

HEAVY = ("litellm", "openai", "qdrant_client", "wordllama", "tokenizers", "grpc", "boto3", "kubernetes")

# Starts the application as uvicorn does, resolves every address, and tells what is loaded.
PROBE = """
import json, sys
from recist_web.asgi import application
from django.urls import get_resolver
list(get_resolver().reverse_dict)
from django.contrib import admin
admin.autodiscover()
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def test_the_web_process_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "django" in loaded
    assert sorted(set(loaded) & set(HEAVY)) == []
