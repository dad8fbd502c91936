"""The admin site: policies to edit, records to inspect, people and their groups."""

from healing.admin import people, policies, records

__all__ = ["people", "policies", "records"]
