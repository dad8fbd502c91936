"""The site's addresses; /livez, /readyz and /metrics are answered before them (recist_web/middleware.py)."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import URLPattern, URLResolver, include, path

from healing.api import api
from recist_web import accounts, oidc

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("login/", accounts.LoginView.as_view(), name="login"),
    path("password/", accounts.PasswordView.as_view(), name="password"),
    path("password/changed/", accounts.PasswordChangedView.as_view(), name="password-changed"),
    path("oidc/<slug:provider_id>/login/", oidc.login, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", oidc.callback, name="openid_connect_callback"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("api/v1/", api.urls),
    path("", include("healing.dashboard.urls")),
]
