"""What is written down wherever it happens: people, groups, roles. Connected when the app is ready.

Approvals, policies, brakes and tokens call `record` where they change something; logins do in `recist_web.accounts`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save
from django.http import HttpRequest, HttpResponse

from healing.audit.record import Actor, record
from healing.models import RoleBinding

#: The request at work, for changes that only models see. Who sent it is asked late: the API finds out on the way.
_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)

_FLAGS = ("username", "email", "is_active", "is_staff", "is_superuser")


class AuditMiddleware:
    """Remembers the request, so that changes of people and roles say who made them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)


def connect() -> None:
    """Once, from the app's `ready`."""
    user_logged_out.connect(_logged_out, dispatch_uid="audit")
    for model in (User, RoleBinding):
        pre_save.connect(_remember, sender=model, dispatch_uid="audit")
        post_save.connect(_saved, sender=model, dispatch_uid="audit")
        # Before, in the transaction of the deletion: a person goes with their role bindings, which name the person.
        pre_delete.connect(_deleted, sender=model, dispatch_uid="audit")
    m2m_changed.connect(_groups_changed, sender=User.groups.through, dispatch_uid="audit")
    m2m_changed.connect(_permissions_changed, sender=User.user_permissions.through, dispatch_uid="audit")
    m2m_changed.connect(_permissions_changed, sender=Group.permissions.through, dispatch_uid="audit")


def _logged_out(sender: object, request: HttpRequest | None, user: User | None, **_: object) -> None:
    if user is not None:
        record("login.ended", actor=_actor(request, user), target=user.get_username())


def _actor(request: HttpRequest | None, user: User) -> Actor:
    return Actor.of_user(user, address=(request.META.get("REMOTE_ADDR", "") or "") if request is not None else "")


def _state(row: User | RoleBinding) -> dict[str, Any]:
    if isinstance(row, User):
        return {name: getattr(row, name) for name in _FLAGS}
    return {"subject": row.subject, "role": row.role, "cluster": row.cluster, "namespace": row.namespace}


def _remember(sender: type[User | RoleBinding], instance: User | RoleBinding, **_: object) -> None:
    fields = _.get("update_fields")
    if isinstance(fields, (set, frozenset)) and fields <= {"last_login"}:
        return
    before = sender.objects.filter(pk=instance.pk).first() if instance.pk else None
    instance._audit_before = {  # type: ignore[union-attr]  # noqa: SLF001 - ours, on its way to _saved
        "state": _state(before) if before else None,
        "password": before.password if isinstance(before, User) else "",
    }


def _saved(sender: object, instance: User | RoleBinding, created: bool, **_: object) -> None:  # noqa: FBT001
    remembered = instance.__dict__.pop("_audit_before", None)
    if remembered is None:
        return
    kind, after = _kind(instance), _state(instance)
    if created:
        _write(f"{kind}.created", instance, None, after)
    elif remembered["state"] != after:
        _write(f"{kind}.changed", instance, remembered["state"], after)
    if isinstance(instance, User) and not created and remembered["password"] != instance.password:
        _write("person.password-changed", instance, None, None)


def _deleted(sender: object, instance: User | RoleBinding, **_: object) -> None:
    _write(f"{_kind(instance)}.deleted", instance, _state(instance), None)


def _groups_changed(
    sender: object,
    instance: User | Group,
    action: str,
    pk_set: set[int] | None,
    **_: object,
) -> None:
    if action not in ("post_add", "post_remove", "pre_clear") or (action != "pre_clear" and not pk_set):
        return
    if isinstance(instance, User):
        people = [instance.get_username()]
        groups = instance.groups.all() if pk_set is None else Group.objects.filter(pk__in=pk_set)
        names = sorted(groups.values_list("name", flat=True))
    else:
        members = instance.user_set.all() if pk_set is None else User.objects.filter(pk__in=pk_set or ())
        people, names = sorted(members.values_list("username", flat=True)), [instance.name]
    if not names or not people:
        return
    verb = "role.granted" if action == "post_add" else "role.revoked"
    for person in people:
        record(verb, actor=_who(), target=person, data={"groups": names})


def _permissions_changed(
    sender: object, instance: User | Group, action: str, pk_set: set[int] | None, **_: object
) -> None:
    if action in ("post_add", "post_remove") and pk_set and _request.get() is not None:
        from django.contrib.auth.models import Permission  # noqa: PLC0415 - only where somebody changed some

        names = sorted(Permission.objects.filter(pk__in=pk_set).values_list("codename", flat=True))
        verb = "granted" if action == "post_add" else "revoked"
        record(f"permission.{verb}", actor=_who(), target=str(instance), data={"permissions": names})


def _kind(row: User | RoleBinding) -> str:
    return "person" if isinstance(row, User) else "role-binding"


def _write(action: str, row: User | RoleBinding, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    cluster, namespace = (row.cluster, row.namespace) if isinstance(row, RoleBinding) else ("", "")
    target = row.get_username() if isinstance(row, User) else row.subject
    record(action, actor=_who(), target=target, cluster=cluster, namespace=namespace, before=before, after=after)


def _who() -> Actor:
    request = _request.get()
    return Actor.of_request(request) if request is not None else Actor.system("manage.py")
