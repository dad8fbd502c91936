"""People, groups, and roles: Django's own in unfold's looks, and bindings of roles to places."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin, UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from healing.access import Capability, why_not
from healing.models import AuditEntry, RoleBinding

admin.site.unregister(User)
admin.site.unregister(Group)


class RoleBindingInline(TabularInline):  # type: ignore[misc]  # unfold has no types
    """A person's roles, where they are edited."""

    model = RoleBinding
    fk_name = "user"
    extra = 0
    fields = ("role", "cluster", "namespace")


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # unfold has no types
    """People. A group named like a role (viewer, operator, approver, admin) gives that role everywhere."""

    inlines = (RoleBindingInline,)

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who is no superuser makes none: a role that was taken away would leave that behind."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and _may_touch(request, obj)


def _may_touch(request: HttpRequest, person: User | None) -> bool:
    """A superuser's account, and with it the password, is for superusers."""
    return bool(person is None or not person.is_superuser or request.user.is_superuser)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Groups with their permissions."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "permissions")


@admin.register(RoleBinding)
class RoleBindingAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Roles at places: for a person or a group, in a cluster or namespace. Only admins see who may what."""

    list_display = ("subject", "role", "cluster", "namespace", "created_by", "created_at")
    list_filter = ("role", "cluster", "namespace")
    search_fields = ("user__username", "group__name", "namespace")
    autocomplete_fields = ("user", "group")
    fields = ("user", "group", "role", "cluster", "namespace")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not why_not(request.user, Capability.ADMIN) and bool(super().has_view_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: RoleBinding, form: Any, change: bool) -> None:  # noqa: FBT001
        if not change:
            obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """To read; the page /audit/ searches and exports."""

    list_display = ("seq", "at", "actor", "action", "target", "namespace", "address")
    search_fields = ("action", "actor", "target")
    list_filter = ("actor_kind",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not why_not(request.user, Capability.ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
