"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.errors import Cause, invalid_value, not_supported, required
from healing.sandbox.api.kinds.podspec import default_pod_spec
from healing.sandbox.api.kinds.podspec_check import check_pod_spec
from healing.sandbox.api.selectors import selector_matches
from healing.sandbox.api.validation import check_annotations, check_labels
from healing.sandbox.ports import Object

_NOT_NEGATIVE = "must be greater than or equal to 0"
_IMMUTABLE = "field is immutable"


def _default_template(template: Any) -> None:
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}), in_template=True)


def default_deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _default_template(spec.setdefault("template", {}))
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def default_replicaset(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _default_template(spec.setdefault("template", {}))


def default_statefulset(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _default_template(spec.setdefault("template", {}))
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {"phase": "Pending"})


def default_daemonset(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_template(spec.setdefault("template", {}))
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    obj["metadata"].setdefault("annotations", {}).setdefault("deprecated.daemonset.template.generation", "1")


def _default_job_spec(spec: Object) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    template = spec.setdefault("template", {})
    # A Job must say itself that it does not restart; the check wants to see what was sent.
    policy = (template.get("spec") or {}).get("restartPolicy")
    _default_template(template)
    if policy is None:
        template["spec"]["restartPolicy"] = "Always"


def default_job(obj: Object) -> None:
    _default_job_spec(obj.setdefault("spec", {}))


def prepare_job(obj: Object) -> None:
    """The selector and labels by which a Job finds its pods."""
    spec, metadata = obj["spec"], obj["metadata"]
    if not spec.get("manualSelector"):
        uid = metadata["uid"]
        labels = spec["template"]["metadata"].setdefault("labels", {})
        labels["batch.kubernetes.io/controller-uid"] = uid
        labels["batch.kubernetes.io/job-name"] = metadata["name"]
        labels["controller-uid"] = uid
        labels["job-name"] = metadata["name"]
        metadata["labels"] = {**labels, **(metadata.get("labels") or {})}
        spec.setdefault("selector", {}).setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = uid
    obj["status"] = {}


def default_cronjob(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    job = template.setdefault("spec", {})
    policy = ((job.get("template") or {}).get("spec") or {}).get("restartPolicy")
    _default_template(job.setdefault("template", {}))
    if policy is None:
        job["template"]["spec"]["restartPolicy"] = "Always"


def prepare_daemonset(obj: Object) -> None:
    obj["status"] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


def _not_negative(spec: Object, path: str, *fields: str) -> list[Cause]:
    return [
        invalid_value(f"{path}.{field}", spec[field], _NOT_NEGATIVE)
        for field in fields
        if isinstance(spec.get(field), int) and spec[field] < 0
    ]


def _check_selector(spec: Object, path: str) -> list[Cause]:
    selector = spec.get("selector")
    if not selector:
        if selector is None:
            return [required(f"{path}.selector")]
        return [invalid_value(f"{path}.selector", selector, "empty selector is invalid for deployment")]
    causes = check_labels(selector.get("matchLabels"), f"{path}.selector.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.selector.matchExpressions[{index}]"
        operator, values = expression.get("operator"), expression.get("values")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            causes.append(invalid_value(f"{here}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            causes.append(required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    return causes


def _check_template(template: Object, selector: Any, path: str, policies: tuple[str, ...] = ("Always",)) -> list[Cause]:
    causes = []
    metadata = template.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if selector and not selector_matches(selector, labels):
        causes.append(invalid_value(f"{path}.metadata.labels", labels, "`selector` does not match template `labels`"))
    causes += check_labels(labels, f"{path}.labels")
    causes += check_annotations(metadata.get("annotations"), f"{path}.annotations")
    return causes + check_pod_spec(template.get("spec") or {}, f"{path}.spec", policies)


def _check_percent_or_number(value: Any, path: str) -> list[Cause]:
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int):
        return [invalid_value(path, value, _NOT_NEGATIVE)] if value < 0 else []
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return []
    return [
        invalid_value(
            path,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
            "used for validation is '[0-9]+%')",
        )
    ]


def check_deployment(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "spec", "replicas")
    causes += _check_selector(spec, "spec")
    causes += _check_template(spec.get("template") or {}, spec.get("selector"), "spec.template")
    strategy = spec.get("strategy") or {}
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        causes.append(not_supported("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate")))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        causes.append(
            Cause(
                "FieldValueForbidden",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
                "spec.strategy.rollingUpdate",
            )
        )
    elif rolling:
        for field in ("maxUnavailable", "maxSurge"):
            causes += _check_percent_or_number(rolling.get(field), f"spec.strategy.rollingUpdate.{field}")
        if rolling.get("maxUnavailable") in (0, "0%") and rolling.get("maxSurge") in (0, "0%"):
            causes.append(
                invalid_value(
                    "spec.strategy.rollingUpdate.maxUnavailable",
                    rolling["maxUnavailable"],
                    "may not be 0 when `maxSurge` is 0",
                )
            )
    causes += _not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline, ready = spec.get("progressDeadlineSeconds", 600), spec.get("minReadySeconds") or 0
    if deadline >= 0 and deadline <= ready:
        causes.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return causes


def check_replicaset(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "spec", "replicas", "minReadySeconds")
    causes += _check_selector(spec, "spec")
    return causes + _check_template(spec.get("template") or {}, spec.get("selector"), "spec.template")


def check_statefulset(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _not_negative(spec, "spec", "replicas", "minReadySeconds")
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        causes.append(
            invalid_value(
                "spec.podManagementPolicy", spec.get("podManagementPolicy"), "must be 'OrderedReady' or 'Parallel'"
            )
        )
    causes += _check_selector(spec, "spec")
    template = dict(spec.get("template") or {})
    pod = dict(template.get("spec") or {})
    # Each claim template is a volume of that name in the pods.
    claimed = [{"name": (c.get("metadata") or {}).get("name")} for c in spec.get("volumeClaimTemplates") or ()]
    if claimed:
        pod["volumes"] = [*(pod.get("volumes") or ()), *({**volume, "emptyDir": {}} for volume in claimed)]
        template["spec"] = pod
    return causes + _check_template(template, spec.get("selector"), "spec.template")


def check_daemonset(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = _check_selector(spec, "spec")
    causes += _check_template(spec.get("template") or {}, spec.get("selector"), "spec.template")
    return causes + _not_negative(spec, "spec", "minReadySeconds")


_JOB_POLICIES = ("OnFailure", "Never")


def check_job(obj: Object) -> list[Cause]:
    return _check_job_spec(obj.get("spec") or {}, "spec", selected=True)


def _check_job_spec(spec: Object, path: str, *, selected: bool) -> list[Cause]:
    causes = _not_negative(
        spec, path, "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"
    )
    selector = spec.get("selector") if selected else None
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    causes += _check_template(spec.get("template") or {}, selector, f"{path}.template", ("Always", *_JOB_POLICIES))
    if policy == "Always":
        where = f"{path}.template.spec.restartPolicy"
        causes.append(
            Cause("FieldValueRequired", 'Required value: valid values: "OnFailure", "Never"', where)
            if not policy
            else not_supported(where, policy, _JOB_POLICIES)
        )
    return causes


def check_cronjob(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    schedule = spec.get("schedule")
    if not schedule:
        causes.append(required("spec.schedule"))
    elif not schedule.startswith("@") and len(schedule.split()) != 5:
        causes.append(
            invalid_value(
                "spec.schedule", schedule, f"expected exactly 5 fields, found {len(schedule.split())}: [{schedule}]"
            )
        )
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        causes.append(
            not_supported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
        )
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    return causes + _check_job_spec(job, "spec.jobTemplate.spec", selected=False)


def _immutable(new: Object, old: Object, *fields: str) -> list[Cause]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    return [
        invalid_value(f"spec.{field}", after.get(field), _IMMUTABLE)
        for field in fields
        if before.get(field) != after.get(field)
    ]


def selector_immutable(new: Object, old: Object) -> list[Cause]:
    return _immutable(new, old, "selector")


def check_job_update(new: Object, old: Object) -> list[Cause]:
    fields = ["completions", "selector", "completionMode"]
    suspended = (old.get("spec") or {}).get("suspend") and not (old.get("status") or {}).get("startTime")
    if not suspended:
        fields.append("template")
    if (new.get("spec") or {}).get("completionMode") == "Indexed":
        fields.remove("completions")
    return _immutable(new, old, *fields)


_STATEFULSET_MAY_CHANGE = frozenset(
    "replicas ordinals template updateStrategy revisionHistoryLimit persistentVolumeClaimRetentionPolicy "
    "minReadySeconds".split()
)


def check_statefulset_update(new: Object, old: Object) -> list[Cause]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    if all(key in _STATEFULSET_MAY_CHANGE for key in changed):
        return []
    return [
        Cause(
            "FieldValueForbidden",
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
            "are forbidden",
            "spec",
        )
    ]
