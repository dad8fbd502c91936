"""Django's settings, one component a file. Everything that differs between installations comes from environment
variables (recist_web/environment.py, docs/configuration.md); nothing here reads os.environ itself."""

from recist_web.settings.accounts import *
from recist_web.settings.admin import *
from recist_web.settings.base import *
from recist_web.settings.database import *
from recist_web.settings.healing import *
from recist_web.settings.logs import *
from recist_web.settings.messaging import *
from recist_web.settings.notifications import *
from recist_web.settings.security import *
from recist_web.settings.upkeep import *
