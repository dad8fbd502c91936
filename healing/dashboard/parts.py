"""The health of the app's own parts in plain words, from what the database says: no page load may wait for a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Min, Q
from django.utils import timezone
from django.utils.translation import gettext as _, ngettext

from healing.dashboard import probes, words
from healing.detection import heartbeat
from healing.lifecycle import Phase, Status
from healing.models import HealingEvent, LlmCall, PhaseRun
from healing.models.event import PhaseRunState
from healing.models.llm_call import LlmCallState

#: Of many clusters: how many kinds of trouble are told, and how many names with each.
TROUBLES_SHOWN, NAMES_SHOWN = 5, 5
#: Work that nobody took up in this time means that no worker serves its queue.
LATE_AFTER = timedelta(seconds=20)
#: Times are told in steps: what changes with every second would be sent to every open page every second.
WAITS_SECONDS = (5, 10, 20)
#: What a model or the memory did longer ago says little about now.
LATELY = timedelta(hours=1)

Beats = Mapping[str, heartbeat.Heartbeat | None]


@dataclass(frozen=True, slots=True)
class Part:
    """``ok`` is False where a person should look; ``off``: it is not there, and need not be."""

    name: str
    ok: bool
    says: str
    off: bool = False

    @property
    def state(self) -> str:
        """``ok``, ``bad`` or ``off``."""
        return "bad" if not self.ok else "off" if self.off else "ok"


def parts() -> list[Part]:
    """All parts, the broken ones first."""
    beats = heartbeat.read_all(settings.CLUSTERS)
    answers = probes.read()
    no_metrics = _("None is set: faults that only metrics show go unseen.")
    no_logs = _("None is set: logs are read through the cluster's API.")
    found = [
        _watcher(beats),
        _cluster_api(beats),
        _workers(),
        _signals(_("Prometheus"), "Prometheus", beats, answers, without=no_metrics),
        _signals(_("Loki"), "Loki", beats, answers, without=no_logs),
        _memory(answers),
        _model(),
        _mirror(),
    ]
    return sorted(found, key=lambda part: part.ok)


def _cluster_api(beats: Beats) -> Part:
    name = _("Cluster API")
    heard = {cluster: beat for cluster, beat in beats.items() if beat and beat.age() <= heartbeat.SILENT_AFTER}
    away = [cluster for cluster, beat in heard.items() if not beat.answers]
    if away:
        if len(beats) == 1:
            return Part(name, ok=False, says=_("Does not answer: nothing is seen or done there until it does."))
        text = _("%(names)s do not answer: nothing is seen or done there until they do.")
        return Part(name, ok=False, says=text % {"names": ", ".join(_some(away))})
    if not heard:
        return Part(name, ok=True, off=True, says=_("Not known: no watcher has told lately."))
    return Part(name, ok=True, says=_("Answers."))


def _signals(name: str, key: str, beats: Beats, answers: Mapping[str, str], *, without: str) -> Part:
    """A source of signals: what its watcher says of it, else what the last probe found."""
    addresses = {part: url for part, url in probes.addresses().items() if part.startswith(f"{key}@")}
    if not addresses:
        return Part(name, ok=True, off=True, says=without)
    troubles = {}
    for cluster, beat in beats.items():
        told = beat.problems.get(key) if beat and beat.age() <= heartbeat.SILENT_AFTER else None
        found = answers.get(addresses.get(f"{key}@{cluster}", ""), "")
        if told or found:
            troubles[cluster] = told or found
    if not troubles:
        known = any(url in answers for url in addresses.values())
        return Part(name, ok=True, says=_("Answers.") if known else _("Nothing is known to be wrong with it."))
    if len(beats) == 1:
        return Part(name, ok=False, says=words.sentence(next(iter(troubles.values()))))
    text = _("Trouble in %(names)s.")
    return Part(name, ok=False, says=text % {"names": ", ".join(_some(list(troubles)))})


def _memory(answers: Mapping[str, str]) -> Part:
    """Qdrant: by its own answer where it is a server, else by how the last remembering went."""
    name = _("Memory (Qdrant)")
    if trouble := answers.get(probes.addresses().get("Qdrant", ""), ""):
        text = _("Qdrant %(trouble)s: events are healed without what was learnt before.")
        return Part(name, ok=False, says=text % {"trouble": trouble})
    runs = PhaseRun.objects.filter(phase=Phase.LEARNING, started_at__gt=timezone.now() - LATELY)
    last = runs.exclude(finished_at=None).order_by("-started_at").first()
    if last is not None and last.state == PhaseRunState.FAILED:
        return Part(name, ok=False, says=_("The last event could not be remembered: see the worker's log."))
    if settings.QDRANT_PATH:
        return Part(name, ok=True, says=_("Kept inside the worker."))
    return Part(name, ok=True, says=_("Answers.") if answers else _("Nothing is known to be wrong with it."))


def _model() -> Part:
    name = _("Language model")
    if not settings.LLM_MODEL:
        return Part(name, ok=True, off=True, says=_("None is set: rules and memory decide alone."))
    asked = LlmCall.objects.filter(asked_at__gt=timezone.now() - LATELY).exclude(state=LlmCallState.ASKED)
    last = asked.order_by("-asked_at").first()
    if last is None:
        return Part(name, ok=True, says=_("%(model)s: not asked lately.") % {"model": settings.LLM_MODEL})
    if last.state == LlmCallState.FAILED:
        text = _("%(model)s gave no answer the last time: the rules decide alone.")
        return Part(name, ok=False, says=text % {"model": settings.LLM_MODEL})
    text = _("%(model)s answered in %(took)s.")
    return Part(name, ok=True, says=text % {"model": settings.LLM_MODEL, "took": words.duration(last.seconds)})


def _watcher(beats: Beats) -> Part:
    """One sentence a cluster; of many, only those with trouble are spelled out, alike ones together."""
    name = _("Watcher")
    if len(beats) == 1:
        (beat,) = beats.values()
        ok, says = _watching(beat)
        return Part(name, ok=ok, says=says)
    troubled: dict[str, list[str]] = {}
    well = []
    for cluster, beat in beats.items():
        ok, says = _watching(beat)
        if beat is not None and not beat.answers and not ok:
            says = _("does not answer.")  # each in words of its own, with its address: the log has them
        if not ok:
            troubled.setdefault(says, []).append(cluster)
        elif beat is not None:
            well.append(beat)
    sentences = [
        _("%(names)s: %(trouble)s.") % {"names": ", ".join(_some(names)), "trouble": says.rstrip(".")}
        for says, names in list(troubled.items())[:TROUBLES_SHOWN]
    ]
    if len(troubled) > TROUBLES_SHOWN:
        others = sum(map(len, list(troubled.values())[TROUBLES_SHOWN:]))
        text = ngettext("And other trouble with %(count)s more.", "And other trouble with %(count)s more.", others)
        sentences.append(text % {"count": others})
    sentences.append(_seeing(well, of=len(beats)))
    return Part(name, ok=not troubled, says=" ".join(sentences))


def _seeing(well: list[heartbeat.Heartbeat], of: int) -> str:
    """What is watched where nothing is wrong, of so many clusters."""
    objects = sum(beat.objects for beat in well)
    lags = [beat.lag_seconds for beat in well if beat.lag_seconds is not None]
    values = {"count": objects, "well": len(well), "all": of}
    if not lags:
        text = ngettext(
            "Watching %(count)s object in %(well)s of %(all)s clusters.",
            "Watching %(count)s objects in %(well)s of %(all)s clusters.",
            objects,
        )
        return text % values
    text = ngettext(
        "Watching %(count)s object in %(well)s of %(all)s clusters, %(lag)s behind.",
        "Watching %(count)s objects in %(well)s of %(all)s clusters, %(lag)s behind.",
        objects,
    )
    return text % {**values, "lag": words.duration(max(lags))}


def _some(names: list[str]) -> list[str]:
    """The first ones by name, the others by their number."""
    if len(names) <= NAMES_SHOWN:
        return names
    left = len(names) - NAMES_SHOWN
    return [*names[:NAMES_SHOWN], ngettext("%(count)s more", "%(count)s more", left) % {"count": left}]


def _watching(beat: heartbeat.Heartbeat | None) -> tuple[bool, str]:
    if beat is None:
        return False, _("No sign of life: new faults are not seen. Is manage.py watch running?")
    if (age := beat.age()) > heartbeat.SILENT_AFTER:
        seconds = age.total_seconds()
        silent = words.duration(seconds - seconds % (10 if seconds < 60 else 60))
        text = _("Silent for %(silent)s: new faults are not seen. Is manage.py watch running?")
        return False, text % {"silent": silent}
    problems = {part: why for part, why in beat.problems.items() if part != "Prometheus"}  # has a line of its own
    if problems:
        return False, "; ".join(f"{part}: {why}" for part, why in problems.items())
    if not beat.synced:
        return True, _("Reading the cluster for the first time.")
    values = {"count": beat.objects}
    if beat.lag_seconds is None:
        return True, ngettext("Watching %(count)s object.", "Watching %(count)s objects.", beat.objects) % values
    text = ngettext(
        "Watching %(count)s object, %(lag)s behind.", "Watching %(count)s objects, %(lag)s behind.", beat.objects
    )
    return True, text % {**values, "lag": words.duration(beat.lag_seconds)}


def _workers() -> Part:
    name = _("Workers")
    now = timezone.now()
    late = now - LATE_AFTER
    stuck = HealingEvent.objects.filter(
        Q(status=Status.RUNNING, lease_expires_at__lt=late)
        | Q(status=Status.QUEUED, next_attempt_at__isnull=True, dispatched_at__lt=late)
        | Q(status=Status.QUEUED, next_attempt_at__lt=late)
    ).count()
    if stuck:
        text = ngettext(
            "%(count)s event waits for a worker that does not come. Are worker and beat running?",
            "%(count)s events wait for a worker that does not come. Are worker and beat running?",
            stuck,
        )
        return Part(name, ok=False, says=text % {"count": stuck})
    due = HealingEvent.objects.filter(status=Status.QUEUED, next_attempt_at__isnull=True)
    oldest = due.aggregate(oldest=Min("dispatched_at"))["oldest"]
    if oldest is None:
        return Part(name, ok=True, says=_("Keeping up: no event waits for a worker."))
    seconds = (now - oldest).total_seconds()
    at_most = next((step for step in WAITS_SECONDS if seconds < step), WAITS_SECONDS[-1])
    says = _("Keeping up: no event has waited longer than %(waited)s s.") % {"waited": at_most}
    return Part(name, ok=True, says=says)


def _mirror() -> Part:
    name = _("Cluster mirror")
    behind = HealingEvent.objects.filter(
        mirrored_seq__lt=F("seq"), detected_at__lt=timezone.now() - LATE_AFTER, finished_at__isnull=True
    ).count()
    if behind:
        text = ngettext(
            "%(count)s open event not yet written to the cluster as HealingEvent resources.",
            "%(count)s open events not yet written to the cluster as HealingEvent resources.",
            behind,
        )
        return Part(name, ok=False, says=text % {"count": behind})
    return Part(name, ok=True, says=_("kubectl get he shows the same as this page."))
