"""Does a container have the configuration its program asks for?"""

from __future__ import annotations

import json
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
            if wanted.optional:
                continue
            return name
        if wanted.pattern and re.fullmatch(wanted.pattern, found) is None:
            return f'invalid value "{found}" for {_label(wanted)}'
        if not found.strip():
            return f"{_label(wanted)} is set but empty"
        choices = [choice.strip() for choice in wanted.choices.split(",")] if wanted.choices else []
        if choices and found not in choices:
            return f'invalid value "{found}" for {_label(wanted)}: must be one of {", ".join(choices)}'
        if wanted.type and (reason := parse_error(wanted.type, found)):
            shown = "" if wanted.type in ("json", "yaml") else f' "{found}"'
            return f"invalid value{shown} for {_label(wanted)}: {reason}"
    if program.parses_files:
        for path, text in sorted(files.items()):
            ending = path.rpartition(".")[2]
            kind = {"json": "json", "yaml": "yaml", "yml": "yaml"}.get(ending, "")
            if kind and (reason := parse_error(kind, text)):
                return f"failed to parse {path}: {reason}"
    return ""


_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")
_BOOLEANS = ("true", "false", "1", "0", "yes", "no", "on", "off")


def parse_error(kind: str, text: str) -> str:
    """Why ``text`` is no int, number, bool, duration, url, json or yaml; empty when it is one."""
    value = text.strip()
    if kind == "int":
        return "" if re.fullmatch(r"[+-]?\d+", value) else f'parsing "{value}": invalid syntax'
    if kind == "number":
        return "" if re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else f'could not convert string to float: "{value}"'
    if kind == "bool":
        return "" if value.lower() in _BOOLEANS else f'parsing "{value}": invalid boolean'
    if kind == "duration":
        missing = re.fullmatch(r"\d+(\.\d+)?", value)
        said = "missing unit in duration" if missing else "invalid duration"
        return "" if _DURATION.fullmatch(value) else f'{said} "{value}"'
    if kind == "url":
        return "" if re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/]+.*", value) else f'parse "{value}": not an absolute URL'
    try:
        if kind == "json":
            json.loads(value)
        elif kind == "yaml":
            list(yaml.safe_load_all(text))
    except json.JSONDecodeError as error:
        return f"{error.msg}: line {error.lineno} column {error.colno} (char {error.pos})"
    except yaml.YAMLError as error:
        mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "invalid document"
        return f"yaml: line {mark.line + 1}: {what}" if mark is not None else f"yaml: {what}"
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


#: directives of CoreDNS' default plugins
_DIRECTIVES = frozenset(
    "errors health ready kubernetes prometheus forward cache loop reload loadbalance log hosts rewrite template "
    "file auto secondary whoami trace debug bind any acl autopath dns64 etcd geoip import lameduck ttl "
    "pods fallthrough max_concurrent policy force_tcp prefer_udp".split()
)


def corefile_problem(files: Mapping[str, str]) -> str:
    """What CoreDNS says about its Corefile before it gives up; empty for a good one (or none: it has a default)."""
    for path, text in files.items():
        if not path.endswith("Corefile"):
            continue
        depth = 0
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            if words and depth == 1 and words[0] != "}" and words[0] not in _DIRECTIVES:
                return f"{path}:{number} - Error during parsing: Unknown directive '{words[0]}'"
            depth += line.count("{") - line.count("}")
        if depth > 0:
            return f"{path}:{len(text.splitlines())} - Error during parsing: Unexpected EOF"
    return ""
