"""Checks of pod specs, in pods and in templates."""

from __future__ import annotations

import re
from typing import Any

from healing.sandbox.api.errors import (
    Cause,
    duplicate,
    field_not_found,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.api.validation import ENV_NAME_TEXT, check_labels, is_env_name, name_problem
from healing.sandbox.ports import Object

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_OPERATORS = ("Equal", "Exists", "Gt", "Lt")
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_MAX_PORT = 65535
_PORT_NAME_RE = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_PORT_NAME = 15
PORT_RANGE = "must be between 1 and 65535, inclusive"


def check_pod_spec(spec: Object, path: str, restart_policies: tuple[str, ...] = _RESTART_POLICIES) -> list[Cause]:
    """All causes of a pod spec; ``restart_policies`` narrows what a workload allows."""
    causes: list[Cause] = []
    volumes = _check_volumes(spec.get("volumes") or (), f"{path}.volumes", causes)
    containers = spec.get("containers") or []
    if not containers:
        causes.append(required(f"{path}.containers"))
    names: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            _check_container(container, f"{path}.{field}[{index}]", volumes, names, causes)
    policy = spec.get("restartPolicy")
    if policy not in restart_policies:
        causes.append(
            not_supported(f"{path}.restartPolicy", policy, restart_policies)
            if policy
            else required(f"{path}.restartPolicy")
        )
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        causes.append(not_supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES))
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        causes.append(
            invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
        )
    deadline = spec.get("activeDeadlineSeconds")
    if isinstance(deadline, int) and deadline < 1:
        causes.append(
            invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    causes += check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    account = spec.get("serviceAccountName")
    if account and name_problem(account, "subdomain"):
        causes.append(invalid_value(f"{path}.serviceAccountName", account, name_problem(account, "subdomain")))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        causes += _check_toleration(toleration, f"{path}.tolerations[{index}]")
    return causes


def _check_toleration(toleration: Object, path: str) -> list[Cause]:
    causes = []
    operator = toleration.get("operator") or "Equal"
    if operator not in _OPERATORS:
        causes.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if not toleration.get("key") and operator != "Exists":
        causes.append(
            invalid_value(
                f"{path}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        )
    if operator == "Exists" and toleration.get("value"):
        causes.append(
            invalid_value(f"{path}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
        )
    effect = toleration.get("effect")
    if effect and effect not in _EFFECTS:
        causes.append(not_supported(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute")))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        causes.append(
            invalid_value(f"{path}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set")
        )
    return causes


def _check_volumes(volumes: Any, path: str, causes: list[Cause]) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        name = volume.get("name")
        if not name:
            causes.append(required(f"{here}.name"))
        elif name_problem(name, "label"):
            causes.append(invalid_value(f"{here}.name", name, name_problem(name, "label")))
        elif name in names:
            causes.append(duplicate(f"{here}.name", name))
        else:
            names.add(name)
        sources = [key for key in volume if key != "name"]
        if not sources:
            causes.append(required(here, "must specify a volume type"))
        causes += [
            forbidden_field(f"{here}.{source}", "may not specify more than 1 volume type") for source in sources[1:]
        ]
        claim = volume.get("persistentVolumeClaim")
        if claim is not None and not claim.get("claimName"):
            causes.append(required(f"{here}.persistentVolumeClaim.claimName"))
        secret = volume.get("secret")
        if secret is not None and not secret.get("secretName"):
            causes.append(required(f"{here}.secret.secretName"))
        config = volume.get("configMap")
        if config is not None and not config.get("name"):
            causes.append(required(f"{here}.configMap.name"))
    return names


def _check_container(container: Object, path: str, volumes: set[str], names: set[str], causes: list[Cause]) -> None:
    name = container.get("name")
    if not name:
        causes.append(required(f"{path}.name"))
    elif name_problem(name, "label"):
        causes.append(invalid_value(f"{path}.name", name, name_problem(name, "label")))
    elif name in names:
        causes.append(duplicate(f"{path}.name", name))
    else:
        names.add(name)
    image = container.get("image")
    if not image:
        causes.append(required(f"{path}.image"))
    elif image != image.strip():
        causes.append(invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        causes.append(not_supported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES))
    _check_ports(container.get("ports") or (), f"{path}.ports", causes)
    _check_env(container.get("env") or (), f"{path}.env", causes)
    _check_mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes, causes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            _check_probe(container[probe], f"{path}.{probe}", causes, success_must_be_one=probe != "readinessProbe")
    check_resources(container.get("resources") or {}, f"{path}.resources", causes)


def _check_mounts(mounts: Any, path: str, volumes: set[str], causes: list[Cause]) -> None:
    mounted: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        if not mount.get("name"):
            causes.append(required(f"{here}.name"))
        elif mount["name"] not in volumes:
            causes.append(field_not_found(f"{here}.name", mount["name"]))
        where = mount.get("mountPath")
        if not where:
            causes.append(required(f"{here}.mountPath"))
        elif where in mounted:
            causes.append(invalid_value(f"{here}.mountPath", where, "must be unique"))
        else:
            mounted.add(where)


def _check_ports(ports: Any, path: str, causes: list[Cause]) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        name = port.get("name")
        if name:
            if len(name) > _MAX_PORT_NAME:
                causes.append(invalid_value(f"{here}.name", name, "must be no more than 15 characters"))
            elif not _PORT_NAME_RE.fullmatch(name):
                causes.append(
                    invalid_value(
                        f"{here}.name", name, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
                    )
                )
            elif name in names:
                causes.append(duplicate(f"{here}.name", name))
            names.add(name)
        number = port.get("containerPort")
        if not number:
            causes.append(required(f"{here}.containerPort"))
        elif not 0 < number <= _MAX_PORT:
            causes.append(invalid_value(f"{here}.containerPort", number, PORT_RANGE))
        if port.get("protocol") not in _PROTOCOLS:
            causes.append(not_supported(f"{here}.protocol", port.get("protocol"), _PROTOCOLS))


def _check_env(variables: Any, path: str, causes: list[Cause]) -> None:
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        name = variable.get("name")
        if not name:
            causes.append(required(f"{here}.name"))
        elif not is_env_name(name):
            causes.append(invalid_value(f"{here}.name", name, ENV_NAME_TEXT))
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            causes.append(invalid_value(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
        if len(source) != 1:
            text = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                if not source
                else "may not have more than one field specified at a time"
            )
            causes.append(invalid_value(f"{here}.valueFrom", "", text))
        causes += [
            required(f"{here}.valueFrom.{kind}.key")
            for kind in ("configMapKeyRef", "secretKeyRef")
            if source.get(kind) is not None and not source[kind].get("key")
        ]


def _check_probe(probe: Object, path: str, causes: list[Cause], *, success_must_be_one: bool) -> None:
    handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(name) is not None]
    if not handlers:
        causes.append(required(path, "must specify a handler type"))
    causes += [forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type") for extra in handlers[1:]]
    for name in ("httpGet", "tcpSocket"):
        handler = probe.get(name)
        if handler is None:
            continue
        port = handler.get("port")
        if isinstance(port, int) and not 0 < port <= _MAX_PORT:
            causes.append(invalid_value(f"{path}.{name}.port", port, PORT_RANGE))
        if port is None:
            causes.append(invalid_value(f"{path}.{name}.port", 0, PORT_RANGE))
    command = probe.get("exec")
    if command is not None and not command.get("command"):
        causes.append(required(f"{path}.exec.command"))
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        value = probe.get(name)
        if isinstance(value, int) and value < 0:
            causes.append(invalid_value(f"{path}.{name}", value, "must be greater than or equal to 0"))
    if success_must_be_one and probe.get("successThreshold", 1) != 1:
        causes.append(invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))


def check_resources(resources: Object, path: str, causes: list[Cause]) -> None:
    """Quantities, and no request above its limit."""
    limits = resources.get("limits") or {}
    requests = resources.get("requests") or {}
    good = True
    for field, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            try:
                if parse_quantity(value) < 0:
                    causes.append(invalid_value(f"{path}.{field}[{name}]", value, "must be greater than or equal to 0"))
            except ValueError as error:
                good = False
                causes.append(invalid_value(f"{path}.{field}[{name}]", value, str(error)))
            if "/" not in name and not _standard_resource(name):
                causes.append(
                    invalid_value(
                        f"{path}.{field}[{name}]", name, "must be a standard resource type or fully qualified"
                    )
                )
                causes.append(
                    invalid_value(f"{path}.{field}[{name}]", name, "must be a standard resource for containers")
                )
    if not good:
        return
    for name, value in requests.items():
        limit = limits.get(name)
        if limit is not None and parse_quantity(value) > parse_quantity(limit):
            causes.append(
                invalid_value(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limit}")
            )


def _standard_resource(name: str) -> bool:
    return name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-")
