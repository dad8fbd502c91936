"""What can be set: strictly checked, complete, understood by the product, and documented."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from healing.policies.notifications import Occasion
from healing.policies.spec import ActionName
from recist_web.clusters import SINGLE
from recist_web.environment import PROJECT_DIR, SECRETS, Environment, parse
from tests.chart import values_table
from tests.chart.rendering import CHART, EVERYTHING, OWN_STORES, Object, named, of_kind, refused, rendered

#: variables without a value of the chart, and why
NOT_IN_THE_CHART = {
    "DEBUG": "never on a machine others can reach",
    "PORT": "of `make demo` and `manage.py run`; the container's port is fixed",
    "VAR_DIR": "the image sets it",
    "QDRANT_PATH": "embedded Qdrant: one process may own it, the chart has several",
    "KUBECONFIG": "the ServiceAccount is used; other clusters by clusters.existingSecret",
    "KUBE_CONTEXT": "as KUBECONFIG",
    "PROMETHEUS_TOKEN": "as a file, PROMETHEUS_TOKEN_FILE: it may be renewed",
    "LOKI_TOKEN": "as a file, LOKI_TOKEN_FILE: it may be renewed",
    "DEMO_FAULTS": "of `make demo`",
    "DEMO_CONTROL_URL": "of `make demo`",
}


def schema() -> dict[str, Any]:
    return dict(json.loads((CHART / "values.schema.json").read_text()))


def set_by(objects: list[Object]) -> set[str]:
    """Variables that the pods get."""
    names = set(named(objects, "ConfigMap", "recist")["data"])
    for deployment in of_kind(objects, "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            names |= {entry["name"] for entry in container["env"]}
    return names


def test_every_variable_can_be_set_or_has_a_reason_not_to() -> None:
    names = set_by(rendered("--values", str(EVERYTHING))) | set_by(
        rendered("--set", "clusters.existingSecret=clusters")
    )
    settable = names | {name for name in SECRETS if f"{name}_FILE" in names}
    missing = set(Environment.model_fields) - settable - set(NOT_IN_THE_CHART)
    assert missing == set(), "give it a value in helm/recist (or a reason above)"
    assert set(NOT_IN_THE_CHART) & settable == set(), "it can be set after all"
    assert set(NOT_IN_THE_CHART) <= set(Environment.model_fields)
    known = {*Environment.model_fields, *(f"{name}_FILE" for name in SECRETS)}
    assert names - known == {"EXTRA_SETTING", "HTTPS_PROXY"}, "no such variable: docs/configuration.md"


@pytest.mark.parametrize("values", [(), ("--values", str(EVERYTHING)), ("--values", str(OWN_STORES))])
def test_what_the_chart_sets_is_understood(values: tuple[str, ...]) -> None:
    objects = rendered(*values)
    environ = dict(named(objects, "ConfigMap", "recist")["data"])
    for name in [name for name in environ if name.endswith("_FILE") and name.removesuffix("_FILE") in SECRETS]:
        environ[name.removesuffix("_FILE")] = "X-Key=abc"  # what the mounted file would hold
        del environ[name]
    for secret in of_kind(objects, "Secret"):
        environ["SECRET_KEY"] = secret["stringData"]["secret-key"]
        for variable in ("DATABASE_URL", "REDIS_URL"):
            if value := secret["stringData"].get(variable.lower().replace("_", "-")):
                environ[variable] = value
    environ.pop("EXTRA_SETTING", None)
    parsed = parse(environ)
    assert parsed.problems == ()
    assert parsed.suspicions == ()


def test_what_is_set_arrives_as_it_was_meant() -> None:
    values = parse(named(rendered("--values", str(EVERYTHING)), "ConfigMap", "recist")["data"]).values
    assert values.ALLOWED_HOSTS == ["recist.example.com", "heal.example.com"]
    assert values.CSRF_TRUSTED_ORIGINS == ["https://recist.example.com", "https://heal.example.com"]
    assert (values.HTTPS_ONLY, values.AUTONOMY_FIRST_DAY, values.TRUSTED_PROXIES) == (True, False, 1)
    assert values.OIDC_ROLES == ["platform=admin", "sre=approver"]
    assert values.NOTIFY_EMAIL_TO == ["sre@example.com", "oncall@example.com"]
    assert values.LLM_DAILY_SPEND_LIMIT_USD == 2.5
    assert values.LLM_DAILY_TOKEN_LIMIT == 100_000
    assert str(values.PROMETHEUS_TOKEN_FILE) == "/etc/recist/prometheus/token"
    assert values.WATCH_NAMESPACES == ["shop", "billing"]


def test_files_are_mounted_where_the_variables_point() -> None:
    objects = rendered("--values", str(EVERYTHING))
    data = named(objects, "ConfigMap", "recist")["data"]
    paths = {value for value in data.values() if value.startswith("/etc/recist/")}
    assert len(paths) == 12
    for deployment in of_kind(objects, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in volumes}
        assert {path.rpartition("/")[0] for path in paths} == mounts


def test_a_file_of_clusters_leaves_out_what_describes_a_single_one() -> None:
    objects = rendered("--set", "clusters.existingSecret=clusters", "--set", "clusters.key=all.yaml")
    data = named(objects, "ConfigMap", "recist")["data"]
    assert data["CLUSTERS_FILE"] == "/etc/recist/clusters/all.yaml"
    assert not set(data) & set(SINGLE)


def test_defaults_are_those_of_the_product() -> None:
    """Where the chart says nothing else on purpose."""
    values = parse(named(rendered(), "ConfigMap", "recist")["data"]).values
    on_purpose = {"ALLOWED_HOSTS", "HTTPS_ONLY", "QDRANT_URL"}
    for name in values.model_fields_set - on_purpose:
        assert getattr(values, name) == Environment.model_fields[name].default, name


# --- strictness -------------------------------------------------------------------------------------------------------


def test_the_values_meet_their_schema() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    for path in (CHART / "values.yaml", EVERYTHING, OWN_STORES):
        assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == [], path.name


def test_no_object_takes_what_it_does_not_know() -> None:
    """But those whose keys are Kubernetes' or people's own."""
    own_keys = {"global", "roles", "annotations", "labels", "settings", "nodeSelector", "affinity", "podAnnotations"}

    def open_ones(node: Any, name: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = []
        if node.get("type") == "object" and node.get("additionalProperties") is not False:
            found.append(name)
        for key, child in (node.get("properties") or {}).items():
            found += open_ones(child, key)
        return found

    assert set(open_ones(schema(), "")) <= own_keys


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("foo=1", r"additional properties 'foo' not allowed"),
        ("web.replica=1", r"at '/web'"),
        ("web.replicas=0", r"at '/web/replicas'"),
        ("workers.healing.replicas=0", r"minimum"),
        ("logLevel=loud", r"at '/logLevel'"),
        ("prometheus.url=prometheus:9090", r"at '/prometheus/url'"),
        ("hosts={https://recist.example.com}", r"at '/hosts/0'"),
        ("oidc.issuer=https://login.example.com", r"oidc.clientId"),
        ("prometheus.keys.token=token", r"prometheus.existingSecret"),
        ("image.digest=latest", r"at '/image/digest'"),
        ("settings.lower=1", r"'lower' does not match"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(values: str, said: str) -> None:
    assert re.search(said, refused("--set", values))


def test_names_in_the_schema_are_those_of_the_code() -> None:
    properties = schema()["properties"]
    actions = properties["rbac"]["properties"]["actions"]["items"]["enum"]
    assert sorted(actions) == sorted(str(name) for name in ActionName)
    occasions = properties["notifications"]["properties"]["when"]["items"]["enum"]
    assert sorted(occasions) == sorted(str(occasion) for occasion in Occasion)


# --- documentation ----------------------------------------------------------------------------------------------------


def test_every_value_is_documented_with_its_default() -> None:
    page = (PROJECT_DIR / "docs" / "installation.md").read_text()
    told = page.partition(values_table.BEGIN)[2].partition(values_table.END)[0].strip()
    assert told == values_table.table(), "run `python -m tests.chart.values_table`"
