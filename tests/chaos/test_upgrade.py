"""During an upgrade old processes write to the new database: what a migration adds, code that does not know it must be
able to leave out, and what that code needs must still be there."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

#: The newest of before the first release: until then nobody had old processes.
FIRST_RELEASE = {"healing": "0013_temporary_changes", "knowledge": "0002"}
_TAKES_AWAY = (migrations.RemoveField, migrations.DeleteModel, migrations.RenameField, migrations.RenameModel)


def problems(app: str, name: str, migration: migrations.Migration) -> Iterator[str]:
    made = {o.name_lower for o in migration.operations if isinstance(o, migrations.CreateModel)}
    for operation in migration.operations:
        where = f"{app}.{name}: {operation.describe()}"
        if isinstance(operation, _TAKES_AWAY):
            yield f"{where}. Old processes still use it: take it away one release after the code does not know it."
        elif isinstance(operation, migrations.AddField) and operation.model_name_lower not in made:
            field = operation.field
            if not (field.null or field.many_to_many or field.db_default is not NOT_PROVIDED):
                yield f"{where}. Old processes leave the column out: let it be null, or give it a db_default."


def test_old_processes_can_write_to_the_new_database() -> None:
    found = []
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in FIRST_RELEASE and name[:4] > FIRST_RELEASE[app][:4]:
            found += problems(app, name, migration)
    assert found == []


def test_what_would_break_them_is_seen() -> None:
    from django.db import models

    class Bad(migrations.Migration):
        operations = [  # noqa: RUF012
            migrations.AddField("healingevent", "more", models.IntegerField(default=1)),
            migrations.AddField("healingevent", "fine", models.IntegerField(null=True)),
            migrations.AddField("healingevent", "fine_too", models.IntegerField(db_default=1)),
            migrations.RemoveField("healingevent", "seq"),
        ]

    assert len(list(problems("healing", "0099_bad", Bad("0099_bad", "healing")))) == 2
