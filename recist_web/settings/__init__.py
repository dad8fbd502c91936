"""Django's settings, one component a file. Everything that differs between installations comes from environment
variables (recist_web/environment.py, docs/configuration.md); nothing here reads os.environ itself."""

# ruff: noqa: F403 - Django wants one flat module; each component's names are its settings.
from recist_web.settings.base import *
from recist_web.settings.admin import *  # isort: skip
from recist_web.settings.database import *  # isort: skip
from recist_web.settings.healing import *  # isort: skip
from recist_web.settings.logs import *  # isort: skip
from recist_web.settings.messaging import *  # isort: skip
from recist_web.settings.security import *  # isort: skip
