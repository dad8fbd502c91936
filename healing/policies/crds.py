"""The CustomResourceDefinitions, made from `PolicySpec` and the lifecycle; `manage.py crds` writes them to the chart.

Defaults are told in the descriptions and not set by the API server: a policy keeps saying what its author said, and a
better default reaches it with the next release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from healing.lifecycle import Outcome, Phase
from healing.policies import sections
from healing.policies.spec import PolicySpec

GROUP = "recist.io"
VERSION = "v1alpha1"
Schema = dict[str, Any]


def definitions() -> dict[str, Schema]:
    """File name -> CustomResourceDefinition."""
    return {
        "selfhealingpolicies.yaml": _definition(
            kind="SelfHealingPolicy",
            plural="selfhealingpolicies",
            short="shp",
            description="What ReCiSt watches, what it may do about a fault, and who must agree.",
            spec=policy_schema(),
            status=_POLICY_STATUS,
            columns=[
                _column("Namespaces", "string", ".spec.targetNamespaces", "Namespaces it covers."),
                _column("Autonomy", "string", ".spec.autonomy", "observe, propose or heal."),
                _column("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status", "Is the spec valid?"),
                _column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", "Is it in force?"),
                _column("Active", "integer", ".status.activeHealings", "Healings under way."),
                _column("Last", "date", ".status.lastHealing", "When the last healing ended."),
                _column("Age", "date", ".metadata.creationTimestamp", ""),
                {
                    **_column("Message", "string", ".status.conditions[?(@.type=='Accepted')].message", "In words."),
                    "priority": 1,
                },
            ],
        ),
        "healingevents.yaml": _definition(
            kind="HealingEvent",
            plural="healingevents",
            short="he",
            description="One fault of one workload, from its detection to its end. Written by ReCiSt, for reading.",
            spec=_EVENT_SPEC,
            status=_EVENT_STATUS,
            columns=[
                _column("Phase", "string", ".status.phase", "Where the healing stands."),
                _column("Target", "string", ".status.target", "What is healed."),
                _column("Reason", "string", ".status.reason", "The cause, or the symptom until it is known."),
                _column("Outcome", "string", ".status.outcome", "How it ended."),
                _column("Duration", "string", ".status.duration", "Without the time people took to decide."),
                _column("Age", "date", ".metadata.creationTimestamp", ""),
                {**_column("Message", "string", ".status.message", "In words."), "priority": 1},
            ],
        ),
    }


def policy_schema() -> Schema:
    """`PolicySpec` as a structural schema (OpenAPI 3.0, without references)."""
    raw = PolicySpec.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    for (section, name), place in sections.STANDS_FOR.items():
        within, field = sections.camel((section, name))
        schema["properties"][within]["properties"][field]["description"] = (
            f"Another name of '{'.'.join(sections.camel(place))}'."
        )
    return schema


def _structural(node: Mapping[str, Any], refs: Mapping[str, Any]) -> Schema:
    """One node of pydantic's JSON Schema in the dialect of a CRD."""
    described = node.get("description")
    default = node.get("default")
    node = _resolved(node, refs)
    out: Schema = {}
    if "anyOf" in node:  # only ever "this or null"
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        out = _structural(options[0], refs)
        out["nullable"] = True
    elif "const" in node:
        out = {"type": "string", "enum": [node["const"]]}
    else:
        out = {name: deepcopy(node[name]) for name in (*_COPIED, *_EXTENSIONS) if name in node}
        if "exclusiveMinimum" in node:  # a flag beside the bound in OpenAPI 3.0
            out["minimum"], out["exclusiveMinimum"] = node["exclusiveMinimum"], True
        if "properties" in node:
            out["properties"] = {name: _structural(child, refs) for name, child in node["properties"].items()}
        elif isinstance(node.get("additionalProperties"), dict):
            out["additionalProperties"] = _structural(node["additionalProperties"], refs)
        elif "patternProperties" in node:  # not in a CRD: a rule says what keys may be
            [values] = node["patternProperties"].values()
            out["additionalProperties"] = _structural(values, refs)
        if "items" in node:
            out["items"] = _structural(node["items"], refs)
    text = described or node.get("description") or out.get("description") or ""
    if "anyOf" in node or out.get("type") not in ("object", "array"):
        text += f"{' ' if text else ''}Default: {json.dumps(default)}." if default is not None else ""
    if text:
        out["description"] = " ".join(text.replace("`", "'").split())
    return {name: out[name] for name in _ORDER if name in out}


_COPIED = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "maxProperties",
    "required",
)
_EXTENSIONS = ("x-kubernetes-validations", "x-kubernetes-map-type")
_ORDER = (
    "type",
    "description",
    "nullable",
    *_COPIED[1:],
    "exclusiveMinimum",
    "items",
    "properties",
    "additionalProperties",
    *_EXTENSIONS,
)


def _resolved(node: Mapping[str, Any], refs: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node or "allOf" in node:
        target = node["$ref"] if "$ref" in node else node["allOf"][0]["$ref"]
        node = refs[str(target).rsplit("/", 1)[-1]]
    return node


def _definition(
    *, kind: str, plural: str, short: str, description: str, spec: Schema, status: Schema, columns: list[Schema]
) -> Schema:
    schema = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["recist"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, description: str) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "description": description} if description else column


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _time(description: str = "") -> Schema:
    return _text(description, format="date-time")


def _number(description: str, **more: Any) -> Schema:
    return {"type": "number", "description": description, **more}


def _object(properties: Schema, description: str = "", required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if description:
        schema["description"] = description
    if required:
        schema["required"] = list(required)
    return schema


def _reference(description: str) -> Schema:
    properties = {"kind": _text(), "namespace": _text(), "name": _text(), "uid": _text()}
    return _object(properties, description, ("kind", "name"))


_CONDITIONS: Schema = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": _object(
        {
            "type": _text(maxLength=316),
            "status": _text(enum=["True", "False", "Unknown"]),
            "reason": _text(maxLength=1024),
            "message": _text(maxLength=32768),
            "lastTransitionTime": _time(),
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        },
        required=("type", "status", "reason", "message", "lastTransitionTime"),
    ),
}

_POLICY_STATUS = _object(
    {
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "description": "The generation that was last read.",
        },
        "activeHealings": {"type": "integer", "description": "Healings under way."},
        "lastHealing": _time("When the last healing ended."),
        "lastHealingTime": _time("The same, by its older name."),
        "totalHealings": {"type": "integer", "description": "Events opened under it and ended."},
        "successfulHealings": {"type": "integer", "description": "Those of them that were healed."},
        "conditions": _CONDITIONS,
    }
)

_EVENT_SPEC = _object(
    {
        "target": _reference("The workload, node or Service that is healed."),
        "subject": _reference("The object the fault was seen on."),
        "symptom": _text("What was seen, e.g. CrashLoopBackOff."),
        "message": _text("What was seen, in words."),
        "severity": _text(enum=["low", "medium", "high", "critical"]),
        "source": _text("Where it was seen: watch, metrics, alert or person."),
        "fingerprint": _text("The same for all events of one workload."),
        "policy": _text("The policy that governs it, namespace/name."),
        "cluster": _text(),
        "detectedAt": _time("When it was seen."),
    },
    required=("target", "symptom"),
)

_EVENT_STATUS = _object(
    {
        "phase": _text("Where the healing stands.", enum=[str(phase) for phase in Phase]),
        "target": _text("The target in one line."),
        "reason": _text("The cause, or the symptom until it is known."),
        "message": _text("Where it stands, in words."),
        "cause": _text("The root cause's code."),
        "causeObject": _reference("The object that has the cause."),
        "confidence": _number("How sure the diagnosis is.", minimum=0, maximum=1),
        "outcome": _text("How it ended.", enum=["", *(str(outcome) for outcome in Outcome)]),
        "strategy": _text("What is, or was, done."),
        "attempt": {"type": "integer", "description": "Number of the strategy being tried."},
        "startTime": _time("When it was seen."),
        "completionTime": _time("When it ended."),
        "duration": _text("From start to end, or to now, without waiting for people."),
        "durationSeconds": _number("The same as a number, once it has ended."),
        "waitedSeconds": _number("Seconds spent waiting for people."),
        "observedSeq": {"type": "integer", "description": "Position of the timeline this status shows."},
        "timeline": {
            "type": "array",
            "description": "The last entries of the timeline.",
            "items": _object(
                {
                    "seq": {"type": "integer"},
                    "at": _time(),
                    "phase": _text(),
                    "kind": _text(),
                    "actor": _text("Who."),
                    "message": _text(),
                },
                required=("seq", "at", "message"),
            ),
        },
        "conditions": _CONDITIONS,
    }
)
