"""Addresses on the map."""

from __future__ import annotations

from django import template
from django.urls import reverse

register = template.Library()


@register.simple_tag
def workload_url(cluster: str, kind: str, namespace: str, name: str) -> str:
    """The page of one workload or node."""
    return reverse("dashboard:workload", args=(cluster, namespace or "-", kind, name))
