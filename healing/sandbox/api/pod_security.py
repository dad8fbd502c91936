"""Pod Security Standards, enforced by a namespace's label ``pod-security.kubernetes.io/enforce``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from healing.sandbox.ports import Object

ENFORCE = "pod-security.kubernetes.io/enforce"
#: what a container may add without leaving the baseline
_ALLOWED_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT".split()
)


def violations(labels: Mapping[str, str], pod: Object) -> str:
    """What follows "pods ... is forbidden: ", empty if the pod keeps to the namespace's level."""
    level = labels.get(ENFORCE, "privileged")
    if level not in ("baseline", "restricted"):
        return ""
    problems = _baseline(pod["spec"])
    if level == "restricted":
        problems += _restricted(pod["spec"])
    version = labels.get(f"{ENFORCE}-version", "latest")
    return f'violates PodSecurity "{level}:{version}": {", ".join(problems)}' if problems else ""


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _security(container: Object) -> dict[str, Any]:
    return container.get("securityContext") or {}


def _named(spec: Object, bad: Callable[[Object], bool]) -> str:
    """``container "a"`` or ``containers "a", "b"`` of those that are bad; empty if none is."""
    names = [f'"{container["name"]}"' for container in _containers(spec) if bad(container)]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _baseline(spec: Object) -> list[str]:
    problems = []
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if shared:
        problems.append(f"host namespaces ({', '.join(shared)})")
    ports = [p["hostPort"] for c in _containers(spec) for p in c.get("ports") or () if p.get("hostPort")]
    if ports:
        using = _named(spec, lambda c: any(p.get("hostPort") for p in c.get("ports") or ()))
        noun = "hostPort" if len(ports) == 1 else "hostPorts"
        uses = "use" if using.startswith("containers") else "uses"
        problems.append(f"hostPort ({using} {uses} {noun} {', '.join(map(str, sorted(set(ports))))})")
    volumes = [f'"{volume["name"]}"' for volume in spec.get("volumes") or () if volume.get("hostPath")]
    if volumes:
        problems.append(f"hostPath volumes (volume{'s' if len(volumes) > 1 else ''} {', '.join(volumes)})")
    added = sorted({
        name for c in _containers(spec) for name in (_security(c).get("capabilities") or {}).get("add") or ()
    } - _ALLOWED_CAPABILITIES)  # fmt: skip
    if added:
        adding = _named(
            spec, lambda c: bool(set((_security(c).get("capabilities") or {}).get("add") or ()) & set(added))
        )
        shown = ", ".join(f'"{name}"' for name in added)
        problems.append(
            f"non-default capabilities ({adding} must not include {shown} in securityContext.capabilities.add)"
        )
    privileged = _named(spec, lambda c: bool(_security(c).get("privileged")))
    if privileged:
        problems.append(f"privileged ({privileged} must not set securityContext.privileged=true)")
    return problems


def _restricted(spec: Object) -> list[str]:
    pod = spec.get("securityContext") or {}
    problems = []
    escalating = _named(spec, lambda c: _security(c).get("allowPrivilegeEscalation") is not False)
    if escalating:
        problems.append(
            f"allowPrivilegeEscalation != false ({escalating} must set securityContext.allowPrivilegeEscalation=false)"
        )
    keeping = _named(spec, lambda c: "ALL" not in ((_security(c).get("capabilities") or {}).get("drop") or ()))
    if keeping:
        problems.append(f'unrestricted capabilities ({keeping} must set securityContext.capabilities.drop=["ALL"])')
    rooted = _named(spec, lambda c: not _security(c).get("runAsNonRoot", pod.get("runAsNonRoot")))
    if rooted:
        problems.append(f"runAsNonRoot != true (pod or {rooted} must set securityContext.runAsNonRoot=true)")
    profiles = ("RuntimeDefault", "Localhost")
    default = (pod.get("seccompProfile") or {}).get("type")
    open_ = _named(spec, lambda c: (_security(c).get("seccompProfile") or {}).get("type", default) not in profiles)
    if open_:
        problems.append(
            f'seccompProfile (pod or {open_} must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")'
        )
    return problems
