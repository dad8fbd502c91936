"""Addresses of the dashboard."""

from django.urls import path

from healing.dashboard.views import decisions, event, now, policies

app_name = "dashboard"
urlpatterns = [
    path("", now.now, name="now"),
    path("history/", now.history, name="history"),
    path("events/<slug:name>/", event.event, name="event"),
    path("events/<slug:name>/approvals/<int:approval_id>/approve/", decisions.approve, name="approve"),
    path("events/<slug:name>/approvals/<int:approval_id>/reject/", decisions.reject, name="reject"),
    path("events/<slug:name>/approvals/<int:approval_id>/override/", decisions.override, name="override"),
    path("policies/", policies.policy_list, name="policies"),
    path("policies/<int:policy_id>/", policies.policy_detail, name="policy"),
]
