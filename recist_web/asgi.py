"""The web process: HTTP by Django, WebSockets by Channels. Run with `uvicorn recist_web.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

from recist_web import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")
tracing.install("web")  # it adds a middleware, so before the application is built
django_application = get_asgi_application()  # loads the apps; what follows imports models

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402

from healing import shared_clock  # noqa: E402
from healing.dashboard.routing import websocket_urlpatterns  # noqa: E402
from recist_web.checks import refuse_to_start  # noqa: E402

refuse_to_start()
shared_clock.follow(wait=False)
sockets = URLRouter(websocket_urlpatterns)  # type: ignore[arg-type]  # made with Django's path(), as Channels documents
application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(SessionMiddlewareStack(sockets)),
    }
)
