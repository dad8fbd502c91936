"""Addresses of the sockets."""

from django.urls import path

from healing.dashboard.consumers import EventConsumer, FrameConsumer, NowConsumer

websocket_urlpatterns = [
    path("ws/now/", NowConsumer.as_asgi()),  # type: ignore[arg-type]  # the stubs know views only
    path("ws/frame/", FrameConsumer.as_asgi()),  # type: ignore[arg-type]  # the stubs know views only
    path("ws/events/<slug:name>/", EventConsumer.as_asgi()),  # type: ignore[arg-type]  # the stubs know views only
]
