"""Addresses on the map."""

from __future__ import annotations

from django import template
from django.urls import reverse

from healing.dashboard.map.wanted import Wanted
from healing.detection.inventory import Workload

register = template.Library()


@register.simple_tag
def workload_url(cluster: str, kind: str, namespace: str, name: str) -> str:
    """The page of one workload or node."""
    return reverse("dashboard:workload", args=(cluster, namespace or "-", kind, name))


@register.simple_tag
def around_url(wanted: Wanted, workload: Workload) -> str:
    """The map with what is around one workload."""
    return reverse("dashboard:map") + wanted.around(workload)


@register.simple_tag
def opening_url(wanted: Wanted, group: str) -> str:
    """The map as it is, with one more group opened."""
    return reverse("dashboard:map") + wanted.opening(group)
