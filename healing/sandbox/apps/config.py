"""Does a container have the configuration its program asks for?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from healing.sandbox.apps.program import ConfigKey, Program


def problem(program: Program, env: Mapping[str, str], files: Mapping[str, str]) -> str:
    """The first thing that is missing or malformed, in words a program would print; empty when all is there."""
    for wanted in program.required_config:
        found, name = _find(wanted, env, files)
        if found is None:
            return name
        if wanted.pattern and re.fullmatch(wanted.pattern, found) is None:
            return f'invalid value "{found}" for {_label(wanted)}'
        if not found.strip():
            return f"{_label(wanted)} is set but empty"
    return ""


def _label(wanted: ConfigKey) -> str:
    return wanted.env or (f"{wanted.key} in {wanted.file}" if wanted.key else wanted.file)


def _find(wanted: ConfigKey, env: Mapping[str, str], files: Mapping[str, str]) -> tuple[str | None, str]:
    if wanted.env:
        return env.get(wanted.env), f"required environment variable {wanted.env} is not set"
    if wanted.file not in files:
        return None, f"open {wanted.file}: no such file or directory"
    if not wanted.key:
        return files[wanted.file], ""
    value = read_key(files[wanted.file], wanted.key)
    return value, f"required key {wanted.key} is missing in {wanted.file}"


def read_key(text: str, key: str) -> str | None:
    """``key`` from YAML or JSON (dots nest) or from ``key=value`` lines."""
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        data = None
    if isinstance(data, dict):
        if key in data:
            return str(data[key])
        for part in key.split("."):
            if not isinstance(data, dict) or part not in data:
                return None
            data = data[part]
        return str(data)
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == key:
            return value.strip()
    return None
