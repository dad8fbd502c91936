"""The first steps on a real cluster, each with how it stands and what to do next. Gone when all are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _, ngettext

from healing.access import Capability, Grants
from healing.dashboard import demo, probes
from healing.detection import heartbeat
from healing.models import HealingEvent, Policy

State = Literal["done", "todo", "bad", "optional"]


@dataclass(frozen=True, slots=True)
class Step:
    """``says`` tells how it stands and, where it is not done, what to do. ``url``: where it is done."""

    title: str
    state: State
    says: str
    url: str = ""
    command: str = ""


def checklist(grants: Grants) -> list[Step] | None:
    """None: this is the demo, or the first event has come: from then on the health of the parts tells what is amiss."""
    if demo.is_on() or HealingEvent.objects.filter(grants.places(Capability.VIEW)).exists():
        return None
    beats = heartbeat.read_all(settings.CLUSTERS)
    policies = list(Policy.objects.filter(enabled=True))
    return [_connection(beats), _permissions(beats), _metrics(), _logs(), _policy(policies), _mode(policies)]


def _connection(beats: Mapping[str, heartbeat.Heartbeat | None]) -> Step:
    title = _("Connect a cluster")
    heard = [beat for beat in beats.values() if beat and beat.age() <= heartbeat.SILENT_AFTER]
    if not heard:
        says = _("No watcher has told anything yet. Start it; it says in its log what it cannot reach.")
        return Step(title, "todo", says, command="manage.py watch")
    away = [name for name, beat in beats.items() if beat and not beat.answers]
    if away:
        says = _("%(names)s does not answer. Check the kubeconfig and the address in it.")
        return Step(title, "bad", says % {"names": ", ".join(away[:5])}, command="kubectl cluster-info")
    if not any(beat.synced for beat in heard):
        return Step(title, "todo", _("The cluster is being read for the first time."))
    objects = sum(beat.objects for beat in heard)
    says = ngettext("%(count)s object is watched.", "%(count)s objects are watched.", objects)
    return Step(title, "done", says % {"count": objects})


def _permissions(beats: Mapping[str, heartbeat.Heartbeat | None]) -> Step:
    title = _("Give it the permissions it needs")
    forbidden = sorted(
        {
            kind
            for beat in beats.values()
            if beat
            for kind, why in beat.problems.items()
            if "forbidden" in why.lower() or "403" in why
        }
    )
    command = "manage.py rbac | kubectl apply -f -"
    if forbidden:
        says = _("The cluster refuses to let it read %(kinds)s. Apply the role it comes with.")
        return Step(title, "bad", says % {"kinds": ", ".join(forbidden[:6])}, command=command)
    if not any(beat and beat.synced for beat in beats.values()):
        return Step(title, "todo", _("Known once the cluster has been read."), command=command)
    return Step(title, "done", _("Everything it watches can be read."))


def _metrics() -> Step:
    title = _("Connect Prometheus")
    urls = [url for part, url in probes.addresses().items() if part.startswith("Prometheus@")]
    if not urls:
        says = _("Without it, latency, errors, CPU and memory go unseen. Set PROMETHEUS_URL and restart.")
        return Step(title, "optional", says)
    return _answering(title, urls, _("It answers: latency, errors, CPU and memory are watched."))


def _logs() -> Step:
    title = _("Connect Loki")
    urls = [url for part, url in probes.addresses().items() if part.startswith("Loki@")]
    if not urls:
        says = _("Without it, logs are read from the cluster, and those of deleted pods are gone. Set LOKI_URL.")
        return Step(title, "optional", says)
    return _answering(title, urls, _("It answers: logs of deleted pods can be read too."))


def _answering(title: str, urls: list[str], well: str) -> Step:
    found = probes.read()
    bad = [found[url] for url in urls if found.get(url)]
    if bad:
        return Step(title, "bad", _("It %(trouble)s. Check its address.") % {"trouble": bad[0]})
    if not any(url in found for url in urls):
        return Step(title, "todo", _("It is being asked; this takes a few seconds."))
    return Step(title, "done", well)


def _policy(policies: list[Policy]) -> Step:
    title = _("Write a policy")
    if not policies:
        says = _("Nothing is watched until a policy names the namespaces.")
        return Step(title, "todo", says, reverse("dashboard:policies"), "kubectl apply -f policy.yaml")
    says = ngettext("%(count)s policy is active.", "%(count)s policies are active.", len(policies))
    return Step(title, "done", says % {"count": len(policies)}, reverse("dashboard:policies"))


def _mode(policies: list[Policy]) -> Step:
    title = _("Start by watching only")
    if not policies:
        return Step(
            title, "todo", _("Set autonomy: observe in the first policy; it then finds and explains, and does nothing.")
        )
    modes = {str(policy.spec.get("autonomy", "heal")) for policy in policies}
    if modes <= {"observe", "propose"}:
        says = _("Nothing is done unasked. When you trust what you see, set autonomy: heal.")
        return Step(title, "done", says, reverse("dashboard:policies"))
    says = _("At least one policy heals by itself, within its limits. That is fine if you meant it.")
    return Step(title, "done", says, reverse("dashboard:policies"))
