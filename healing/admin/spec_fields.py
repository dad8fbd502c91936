"""A form's fields from a pydantic model, so that form and schema cannot drift apart.

A nested model's fields are called ``group__field``. The browser gets the limits too; the schema has the last word.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from django import forms
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from unfold import widgets

from healing.dashboard.policy_view import title_of, unit_of
from healing.dashboard.words import capitalize, humanize
from healing.policies import yaml_text

SEPARATOR = "__"


def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """(path of Python names, field) of every value that is no model itself."""
    for name, field in model.model_fields.items():
        if field.exclude:
            continue  # another name of a field that has one
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field


def form_fields(model: type[BaseModel]) -> dict[str, forms.Field]:
    """A form field for every value."""
    return {SEPARATOR.join(path): _field(path[-1], info) for path, info in leaves(model)}


def to_initial(model: BaseModel) -> dict[str, Any]:
    """A model's values as the form shows them."""
    initial: dict[str, Any] = {}
    for path, _ in leaves(type(model)):
        value: Any = model
        for name in path:
            value = getattr(value, name)
        initial[SEPARATOR.join(path)] = _shown(value)
    return initial


def to_data(model: type[BaseModel], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned values as nested data for the model. An empty field is None where that means something, else left out."""
    data: dict[str, Any] = {}
    for path, info in leaves(model):
        value = cleaned.get(SEPARATOR.join(path))
        kind, optional = _unwrap(info.annotation)
        if value in (None, "") and kind is not str and not optional:
            continue
        branch = data
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = _read(kind, value)
    return data


def place_of(model: type[BaseModel], location: tuple[str | int, ...]) -> str | None:
    """The form field of a validation error's location; None: it belongs to the whole form."""
    names = [str(part) for part in location]
    for path, _ in leaves(model):
        if names[: len(path)] == list(path) or names[: len(path)] == _aliases(model, path):
            return SEPARATOR.join(path)
    return None


def _aliases(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    current: Any = model
    for name in path:
        info = current.model_fields[name]
        found.append(info.alias or name)
        current = info.annotation
    return found


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """(the type itself, whether None is a value of its own)."""
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [argument for argument in get_args(annotation) if argument is not type(None)]
        return _unwrap(inner[0])[0], True
    return annotation, False


def _field(name: str, info: FieldInfo) -> forms.Field:
    kind, optional = _unwrap(info.annotation)
    unit = unit_of(name)
    label = f"{title_of(name)} ({unit})" if unit else title_of(name)
    common: dict[str, Any] = {"label": label, "help_text": info.description or "", "required": False}
    if optional and "Empty:" not in common["help_text"]:
        common["help_text"] = f"{common['help_text']} Empty: not watched.".strip()
    if info.is_required():
        common["required"] = True
    if kind is bool:
        return forms.BooleanField(**common, widget=widgets.UnfoldBooleanSwitchWidget)
    if kind in (int, float):
        low, high = _limits(info)
        number = forms.IntegerField if kind is int else forms.FloatField
        widget = widgets.UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})
        hint = f"{_plain(low)} to {_plain(high)}." if low is not None and high is not None else ""
        common["help_text"] = f"{common['help_text']} {hint}".strip()
        return number(**common, widget=widget)
    if get_origin(kind) is Literal:
        options = [(str(value), capitalize(humanize(str(value)))) for value in get_args(kind)]
        return forms.ChoiceField(**common, choices=options, widget=widgets.UnfoldAdminSelectWidget)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return forms.ChoiceField(**common, choices=_choices(kind), widget=widgets.UnfoldAdminSelectWidget)
    if get_origin(kind) is list:
        item = get_args(kind)[0]
        return _list_field(_unwrap(item)[0], common, one_word=_is_one_word(item))
    if get_origin(kind) is dict:
        common["help_text"] = f"{common['help_text']} One key=value a line.".strip()
        return forms.CharField(**common, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    return forms.CharField(**common, widget=widgets.UnfoldAdminTextInputWidget)


class _YamlField(forms.CharField):
    """Text that is YAML."""

    def validate(self, value: str) -> None:
        super().validate(value)
        try:
            yaml_text.load(value)
        except yaml_text.BadYaml as error:
            raise forms.ValidationError(str(error)) from error


def _list_field(inner: Any, common: dict[str, Any], *, one_word: bool) -> forms.Field:
    if isinstance(inner, type) and issubclass(inner, Enum):
        widget = widgets.UnfoldAdminCheckboxSelectMultipleWidget
        return forms.MultipleChoiceField(**common, choices=_choices(inner), widget=widget)
    if _is_model(inner):
        common["help_text"] = f"{common['help_text']} YAML, as in the resource.".strip()
        return _YamlField(**common, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 6}))
    how = "One a line, or separated by commas." if one_word else "One a line."
    common["help_text"] = f"{common['help_text']} {how}".strip()
    return forms.CharField(**common, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}))


def _is_one_word(item: Any) -> bool:
    """Whether the schema's pattern for items leaves no room for blanks and commas."""
    return any(getattr(part, "pattern", None) for info in get_args(item)[1:] for part in getattr(info, "metadata", ()))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _read_yaml(text: str) -> Any:
    """Raises `yaml_text.BadYaml`; the form's field has asked before (`_YamlField`)."""
    return yaml_text.load(text) or []


def _choices(kind: type[Enum]) -> list[tuple[str, str]]:
    return [(str(member.value), capitalize(humanize(str(member.value)))) for member in kind]


def _limits(info: FieldInfo) -> tuple[float | None, float | None]:
    found: dict[str, float] = {}
    metadata = [*info.metadata]
    for annotation in get_args(info.annotation):  # Annotated[...] | None keeps its limits inside
        if get_origin(annotation) is Annotated:
            metadata += getattr(get_args(annotation)[1], "metadata", [])
    for item in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(item, name, None) is not None:
                found[name] = getattr(item, name)
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def _plain(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _shown(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        if value and isinstance(value[0], BaseModel):
            plain = [item.model_dump(mode="json", by_alias=True, exclude_defaults=True) for item in value]
            return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        return [item.value for item in value] if value and isinstance(value[0], Enum) else "\n".join(map(str, value))
    if isinstance(value, dict):
        return "\n".join(f"{key}={text}" for key, text in value.items())
    return value


def _read(kind: Any, value: Any) -> Any:
    if get_origin(kind) is list and isinstance(value, str):
        if _is_model(_unwrap(get_args(kind)[0])[0]):
            return _read_yaml(value)
        if not _is_one_word(get_args(kind)[0]):
            return [line.strip() for line in value.splitlines() if line.strip()]
        return [part for part in value.replace(",", "\n").split() if part]
    if get_origin(kind) is dict:
        lines = [line.strip() for line in (value or "").splitlines() if line.strip()]
        return dict([part.strip() for part in (*line.split("=", 1), "")][:2] for line in lines)
    if kind is str:
        return value or ""
    return None if value == "" else value
