"""Which clusters one installation looks after: those of the file CLUSTERS_FILE, or the single one of the variables.

The file is YAML, a list (or a mapping with the key `clusters`) of::

    - name: shop-eu                  # unique; in events, on the dashboard, in the API
      kubeconfig: shop-eu.kubeconfig # relative to the file; without: the pod's ServiceAccount, else kubectl's default
      context: admin@shop-eu         # default: the kubeconfig's current one
      prometheus: http://...         # without, or `off`: no metrics are watched
      prometheusAccess: {tokenFile: prometheus.token}  # how it lets us in: recist_web/source_settings.py
      loki: http://...               # without, or `off`: logs come through the Kubernetes API alone
      lokiAccess: {headers: {X-Scope-OrgID: shop}}
      policyNamespaces: [platform]   # default: POLICY_NAMESPACES
      watchNamespaces: [shop]        # default: WATCH_NAMESPACES; empty: all of them

A kubeconfig that is not there (yet) is no error: it shows when the cluster is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from healing.cluster.source_access import SourceAccess
from recist_web import source_settings
from recist_web.environment import CLUSTER_NAME_PATTERN, Environment, Problem
from recist_web.source_settings import AccessEntry
from recist_web.variable_types import HttpUrlOrOff, comma_separated, namespace

VARIABLE = "CLUSTERS_FILE"
_HINT = f"Correct the file or unset {VARIABLE}; see docs/configuration.md."
#: Variables that describe the single cluster, and say nothing where the file describes them all.
SINGLE = ("KUBECONFIG", "KUBE_CONTEXT", "PROMETHEUS_URL", "LOKI_URL", *source_settings.VARIABLES)


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """How to reach one cluster. A URL of None: there is no such server. `policy_namespaces` and `watch_namespaces`:
    empty for all."""

    name: str
    kubeconfig: Path | None = None
    context: str | None = None
    prometheus_url: str | None = None
    loki_url: str | None = None
    policy_namespaces: tuple[str, ...] = ()
    prometheus_access: SourceAccess = field(default_factory=SourceAccess)
    loki_access: SourceAccess = field(default_factory=SourceAccess)
    watch_namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clusters:
    """By name, in the file's order; never empty. `default` is one of the names."""

    by_name: Mapping[str, ClusterTarget]
    default: str
    problems: tuple[Problem, ...] = ()


class ClustersFileError(ValueError):
    """The file cannot be used; the message says where and why."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=CLUSTER_NAME_PATTERN)
    kubeconfig: Annotated[str, Field(min_length=1)] | None = None
    context: Annotated[str, Field(min_length=1)] | None = None
    prometheus: HttpUrlOrOff = None
    loki: HttpUrlOrOff = None
    policy_namespaces: Annotated[
        list[Annotated[str, AfterValidator(namespace)]] | None, BeforeValidator(comma_separated)
    ] = Field(None, alias="policyNamespaces")
    watch_namespaces: Annotated[
        list[Annotated[str, AfterValidator(namespace)]] | None, BeforeValidator(comma_separated)
    ] = Field(None, alias="watchNamespaces")
    prometheus_access: AccessEntry = Field(AccessEntry(), alias="prometheusAccess")
    loki_access: AccessEntry = Field(AccessEntry(), alias="lokiAccess")


def of(environment: Environment) -> Clusters:
    """The clusters of this installation. Never raises: what is wrong is in `problems`, and the single cluster of the
    variables stands in, so that `manage.py check` can say so."""
    single = ClusterTarget(
        environment.CLUSTER_NAME,
        environment.KUBECONFIG,
        environment.KUBE_CONTEXT,
        environment.PROMETHEUS_URL,
        environment.LOKI_URL,
        tuple(environment.POLICY_NAMESPACES),
        source_settings.of_environment(environment, "PROMETHEUS"),
        source_settings.of_environment(environment, "LOKI"),
        tuple(environment.WATCH_NAMESPACES),
    )
    alone = MappingProxyType({single.name: single})
    if environment.CLUSTERS_FILE is None:
        return Clusters(alone, single.name, source_settings.problems_of(environment))
    try:
        found = read(
            environment.CLUSTERS_FILE, tuple(environment.POLICY_NAMESPACES), tuple(environment.WATCH_NAMESPACES)
        )
    except ClustersFileError as error:
        return Clusters(alone, single.name, (Problem(VARIABLE, str(error), _HINT),))
    if "CLUSTER_NAME" not in environment.model_fields_set:
        return Clusters(found, next(iter(found)))
    if single.name not in found:
        message = f"CLUSTER_NAME is {single.name}, which {environment.CLUSTERS_FILE} does not list"
        hint = f"Unset CLUSTER_NAME (the first one is the default then), or name one of: {some_of(found)}."
        return Clusters(found, next(iter(found)), (Problem("CLUSTER_NAME", message, hint),))
    return Clusters(found, single.name)


def read(
    path: Path, policy_namespaces: tuple[str, ...] = (), watch_namespaces: tuple[str, ...] = ()
) -> Mapping[str, ClusterTarget]:
    """The clusters a file lists, by name and in its order. The namespaces are those of entries that name none. Raises
    `ClustersFileError`."""
    path = path.expanduser().absolute()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClustersFileError(f"{VARIABLE} names {path}, which cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        # A ValueError: a date that no calendar has, for one.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ClustersFileError(f"{VARIABLE} names {path}, which is not YAML: {reason}") from error
    targets: dict[str, ClusterTarget] = {}
    for number, raw in enumerate(_entries(content, path), start=1):
        target = _target(raw, number, path, policy_namespaces, watch_namespaces)
        if target.name in targets:
            raise ClustersFileError(f"{path}: entry {number}: there are two clusters of the name {target.name}")
        targets[target.name] = target
    return MappingProxyType(targets)


def some_of(names: Mapping[str, Any], at_most: int = 10) -> str:
    """Names for a message; of many only the first."""
    shown = ", ".join(list(names)[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"


def _entries(content: Any, path: Path) -> list[Any]:
    if isinstance(content, dict) and "clusters" in content:
        content = content["clusters"]
    if not isinstance(content, list):
        raise ClustersFileError(f"{path} is not a list of clusters, nor a mapping with such a list under `clusters`")
    if not content:
        raise ClustersFileError(f"{path} lists no cluster")
    return content


def _target(
    raw: Any, number: int, path: Path, policy_namespaces: tuple[str, ...], watch_namespaces: tuple[str, ...]
) -> ClusterTarget:
    if not isinstance(raw, dict):
        raise ClustersFileError(f"{path}: entry {number} is not a mapping with a name and a kubeconfig")
    where = f"{path}: entry {number}" + (f" ({raw['name']})" if isinstance(raw.get("name"), str) else "")
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        reason = str(detail["msg"]).removeprefix("Value error, ")
        raise ClustersFileError(f"{where}: {'.'.join(str(part) for part in detail['loc'])}: {reason}") from error
    namespaces = policy_namespaces if entry.policy_namespaces is None else tuple(entry.policy_namespaces)
    kubeconfig = path.parent / Path(entry.kubeconfig).expanduser() if entry.kubeconfig else None
    try:
        prometheus = entry.prometheus_access.access(path.parent)
        loki = entry.loki_access.access(path.parent)
    except ValueError as error:
        raise ClustersFileError(f"{where}: {error}") from error
    watched = watch_namespaces if entry.watch_namespaces is None else tuple(entry.watch_namespaces)
    return ClusterTarget(
        entry.name, kubeconfig, entry.context, entry.prometheus, entry.loki, namespaces, prometheus, loki, watched
    )
