"""The admin site: policies to edit, records to inspect, people and their groups."""

from healing.admin import brakes, notifications, people, policies, records

__all__ = ["brakes", "notifications", "people", "policies", "records"]
