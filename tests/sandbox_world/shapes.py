"""The shape of what ``kubectl describe pod`` prints: what it says, without whose pod it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from healing.sandbox.ports import Object

_EVENT = re.compile(
    r"^  (?P<type>Normal|Warning)\s+(?P<reason>\S+)\s+(?:<unknown>|\d+[smhd]\S*(?: \(x\d+ over \S+\))?)\s+"
)
_PULLED = re.compile(
    r'Successfully pulled image "IMAGE" in \d+(?:\.\d+)?m?s \(\d+(?:\.\d+)?m?s including waiting\)\. '
    r"Image size: \d+ bytes\."
)
_PRESENT = 'Container image "IMAGE" already present on machine and can be accessed by the pod'
#: what is of this pod and not of its kind of trouble, in the order it is looked for
_PARTICULARS: tuple[tuple[str, str], ...] = (
    (r'(?:Head )"https?://\S+"', 'Head "URL"'),
    (r'Get "https?://[^"]+"', 'Get "URL"'),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}:\d+", "ADDRESS"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "IP"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
)


@dataclass(frozen=True)
class Shape:
    """``says``: status, conditions and each container's states; ``events``: (type, reason, source, message)."""

    says: tuple[str, ...]
    events: tuple[tuple[str, ...], ...]


def shape(text: str, pod: Object) -> Shape:
    """Of a pod and its description; events sorted (their order of time is another matter)."""
    plain = renamer(pod)
    body, _, events = text.partition("\nEvents:")
    says: list[str] = []
    section, indent = "", 0
    for line in body.splitlines():
        words, depth = re.sub(r"\s+", " ", line.strip()), len(line) - len(line.lstrip())
        if depth == 0:
            section = words.partition(":")[0]
            if section in ("Status", "Reason", "Message"):
                says.append(plain(words))
        elif section == "Conditions":
            says.append(words)
        elif section in ("Containers", "Init Containers") and depth <= 6:
            if words.startswith(("State:", "Last State:")):
                indent = depth
                says.append(words)
            elif indent and depth > indent and words.startswith(("Reason:", "Message:", "Exit Code:")):
                says.append("  " + plain(words))
            elif words.startswith(("Ready:", "Restart Count:")):
                indent = 0
                says.append("Restart Count: some" if re.fullmatch(r"Restart Count: [1-9]\d*", words) else words)
    shown = {_event(line, plain) for line in events.splitlines()[3:] if line.strip()}
    if any(reason == "Pulled" for _, reason, *_ in shown):
        # An image that was not on the machine: none was recorded, so it counts like one that was.
        shown.discard(("Normal", "Pulling", "kubelet", 'Pulling image "IMAGE"'))
    return Shape(tuple(says), tuple(sorted(shown)))


def _event(line: str, plain: Callable[[str], str]) -> tuple[str, ...]:
    found = _EVENT.match(line)
    assert found is not None, line
    source, _, message = line[found.end() :].partition(" ")
    message = _PULLED.sub(_PRESENT, plain(message.strip()))
    return found["type"], found["reason"], source, message


def renamer(pod: Object) -> Callable[[str], str]:
    """Takes the pod's own names out of a text."""
    meta, spec = pod["metadata"], pod["spec"]
    names = [(meta["name"], "POD"), (meta["uid"], "UID")]
    names += [(container["image"], "IMAGE") for container in (*spec["containers"], *spec.get("initContainers", ()))]
    names += [(status["image"], "IMAGE") for status in pod["status"].get("containerStatuses", ())]
    names += [
        (command, "COMMAND") for c in spec["containers"] for command in (c.get("command") or ())[:1] if "/" in command
    ]
    keys = [
        (source["name"], source.get("key", ""))
        for container in spec["containers"]
        for entry in container.get("env") or ()
        for source in (entry.get("valueFrom") or {}).values()
        if "key" in source
    ]
    containers = "|".join(re.escape(container["name"]) for container in spec["containers"])

    def plain(text: str) -> str:
        for config, key in keys:
            text = text.replace(f"key {key} in ConfigMap {meta['namespace']}/{config}", "key KEY in ConfigMap CONFIG")
        for name, word in names:
            text = re.sub(rf"(?<![A-Za-z0-9.-]){re.escape(name)}(?![A-Za-z0-9.-])", word, text)
        text = re.sub(rf"\b{re.escape(meta['namespace'])}/POD", "NAMESPACE/POD", text)
        text = re.sub(rf"POD_{re.escape(meta['namespace'])}\b", "POD_NAMESPACE", text)
        text = re.sub(rf"\b([Cc]ontainer) (?:{containers})(?= )", r"\1 NAME", text)
        text = re.sub(rf"^Stopping container (?:{containers})$", "Stopping container NAME", text)
        text = re.sub(rf" to {re.escape(spec.get('nodeName', '-'))}$", " to NODE", text)
        for pattern, word in _PARTICULARS:
            text = re.sub(pattern, word, text)
        return text

    return plain
