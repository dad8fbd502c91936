"""Addresses of the dashboard."""

from django.urls import path

from healing.dashboard.views import audit, brakes, bulk, decisions, demo, event, now, palette, policies, warnings

app_name = "dashboard"
urlpatterns = [
    path("", now.now, name="now"),
    path("history/", now.history, name="history"),
    path("halt/", brakes.halt, name="halt"),
    path("halt/lift/", brakes.lift, name="lift"),
    path("palette/", palette.search, name="palette"),
    path("demo/", demo.panel, name="demo"),
    path("demo/break/", demo.break_it, name="demo-break"),
    path("demo/take-back/", demo.take_back, name="demo-take-back"),
    path("events/<slug:name>/", event.event, name="event"),
    path("events/<slug:name>/approvals/<int:approval_id>/approve/", decisions.approve, name="approve"),
    path("events/<slug:name>/approvals/<int:approval_id>/reject/", decisions.reject, name="reject"),
    path("events/<slug:name>/approvals/<int:approval_id>/override/", decisions.override, name="override"),
    path("events/<slug:name>/approvals/<int:approval_id>/edit/", decisions.edit, name="edit"),
    path("events/<slug:name>/approvals/<int:approval_id>/hold/", decisions.hold, name="hold"),
    path("events/<slug:name>/approvals/<int:approval_id>/end-hold/", decisions.end_hold, name="end-hold"),
    path("events/<slug:name>/take-over/", decisions.take_over, name="take-over"),
    path("events/<slug:name>/give-back/", decisions.give_back, name="give-back"),
    path("events/<slug:name>/fixed/", decisions.fixed, name="fixed"),
    path("approvals/", bulk.groups, name="approvals"),
    path("approvals/group/", bulk.group, name="approval-group"),
    path("audit/", audit.entries, name="audit"),
    path("audit/export.<str:kind>", audit.export, name="audit-export"),
    path("warnings/", warnings.warnings, name="warnings"),
    path("warnings/<int:warning_id>/prepare/", warnings.prepare, name="warning-prepare"),
    path("warnings/<int:warning_id>/dismiss/", warnings.dismiss, name="warning-dismiss"),
    path("policies/", policies.policy_list, name="policies"),
    path("policies/<int:policy_id>/", policies.policy_detail, name="policy"),
]
