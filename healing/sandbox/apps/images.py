"""Image names, registries, and what a pull answers. Messages are containerd's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from healing.sandbox.apps.program import DefinitionError, Program, apply_changes
from healing.sandbox.ports import PullResult

_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._-][a-z0-9]+|__[a-z0-9]+|[:/][a-z0-9._-]+)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_VERSION_TAG = re.compile(
    r"v?\d+(\.\d+){0,3}([-+._][0-9A-Za-z.]+)*|latest|stable|main|master|edge|dev|prod(uction)?|staging|release"
    r"|(sha-?|git-?)?[0-9a-f]{7,40}|(release|build|rev)[-.]?\d+([.-]\d+)*|20\d\d[-.]?\d\d[-.]?\d\d([.-]\w+)?"
)
_UNLIKELY = re.compile(
    r"nope|typo|missing|does-?not-?exist|non-?existent|no-?such|invalid|notfound|not-found", re.IGNORECASE
)
REGISTRY_ANSWERS = ("open", "private", "unreachable", "timeout", "unavailable", "rate-limited")
_OPEN_SUFFIXES = (".local", ".internal", ".example.com", ".example.org", ".svc", ".lan", ".corp")


@dataclass(frozen=True, slots=True)
class Image:
    host: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse_image(reference: str) -> Image | None:
    """The full name of an image as containerd resolves it, or None for one that is no valid reference."""
    name, tag, digest = reference, "", ""
    if "@" in name:
        name, _, digest = name.partition("@")
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{head}/{last}" if head else last
    whole = f"{name}{':' + tag if tag else ''}{'@' + digest if digest else ''}"
    if whole != reference or _REFERENCE.fullmatch(whole) is None:
        return None
    first, _, rest = name.partition("/")
    if ":" in name and (not rest or not first.rpartition(":")[2].isdigit() or ":" in rest):
        return None  # only a registry's port may follow a colon here
    if rest and ("." in first or ":" in first or first == "localhost"):
        return Image(first, rest, tag or "latest", digest)
    return Image("docker.io", name if "/" in name else f"library/{name}", tag or "latest", digest)


@dataclass(slots=True)
class Catalogue:
    """Programs and registries; `publish` pushes one more image, as a person's build pipeline would."""

    programs: dict[str, Program] = field(default_factory=lambda: {"generic": Program()})
    registries: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, dict[str, Program]] = field(default_factory=dict)
    #: images pushed while the world runs
    published: dict[str, Program] = field(default_factory=dict)

    @classmethod
    def bundled(cls) -> Catalogue:
        catalogue = cls()
        path = Path(__file__).with_name("catalogue.yaml")
        catalogue.extend(yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
        return catalogue

    def extend(self, data: Mapping[str, Any], where: str) -> None:
        """Add sections ``programs``, ``registries``, ``repositories``; raises `DefinitionError`."""
        for section in data:
            if section not in ("programs", "registries", "repositories"):
                raise DefinitionError(f"{where}.{section}: unknown section; use programs, registries, repositories")
        for name, changes in (data.get("programs") or {}).items():
            at = f"{where}.programs.{name}"
            if not isinstance(changes, dict):
                raise DefinitionError(f"{at}: expected a mapping, got {changes!r}")
            rest = dict(changes)
            base = self.program(rest.pop("extends"), at) if "extends" in rest else Program()
            self.programs[name] = apply_changes(base, {"name": name, **rest}, at)
        for host, answer in (data.get("registries") or {}).items():
            if answer not in REGISTRY_ANSWERS:
                raise DefinitionError(f"{where}.registries.{host}: {answer!r} is none of {', '.join(REGISTRY_ANSWERS)}")
            self.registries[str(host)] = answer
        for repository, tags in (data.get("repositories") or {}).items():
            at = f"{where}.repositories.{repository}"
            if not isinstance(tags, dict):
                raise DefinitionError(f"{at}: expected a mapping of tags to programs, got {tags!r}")
            image = parse_image(str(repository))
            if image is None:
                raise DefinitionError(f"{at}: not a valid image repository")
            known = self.repositories.setdefault(image.repository, {})
            for tag, program in tags.items():
                known[str(tag)] = self._entry(program, f"{at}.{tag}")

    def _entry(self, program: Any, at: str) -> Program:
        if isinstance(program, str):
            return self.program(program, at)
        if isinstance(program, dict) and isinstance(program.get("program", "generic"), str):
            changes = {key: value for key, value in program.items() if key != "program"}
            return apply_changes(self.program(program.get("program", "generic"), at), changes, at)
        raise DefinitionError(f"{at}: expected a program's name or a mapping with `program`, got {program!r}")

    def program(self, name: Any, where: str) -> Program:
        if name not in self.programs:
            raise DefinitionError(f"{where}: no program named {name!r}; known are {', '.join(sorted(self.programs))}")
        return self.programs[name]

    def publish(self, reference: str, program: Program) -> None:
        image = parse_image(reference)
        if image is None:
            raise DefinitionError(f"{reference!r} is not a valid image reference")
        self.published[str(image)] = program

    def find(self, reference: str) -> Program | None:
        """The program in an image that can be pulled, else None."""
        image = parse_image(reference)
        if image is None:
            return None
        if str(image) in self.published:
            return self.published[str(image)]
        known = self.repositories.get(image.repository)
        if known is not None:
            if image.digest:
                return next(iter(known.values()))
            # later entries win: a scenario's tags go before the bundled patterns
            for pattern, program in reversed(known.items()):
                if re.fullmatch(pattern, image.tag):
                    return program
            return None
        if image.path.startswith("library/"):
            return None  # the official images are known; any other name does not exist
        if image.digest or (_VERSION_TAG.fullmatch(image.tag) and not _UNLIKELY.search(f"{image.path}:{image.tag}")):
            return self.programs["generic"]
        return None

    def pull(self, reference: str, *, authorized: bool = False) -> PullResult:
        image = parse_image(reference)
        if image is None:
            return PullResult(ok=False, error=f'couldn\'t parse image name "{reference}": invalid reference format')
        broken = self.registries.get(image.host) in ("unreachable", "timeout", "unavailable", "rate-limited")
        if str(image) in self.published and not broken:
            return PullResult(ok=True, duration_seconds=0.6, size_bytes=64 << 20)
        wrapped = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
        error = self._registry_error(image, authorized=authorized)
        program = self.find(reference)
        if not error and program is None:
            error = self._absent(image)
        if error:
            return PullResult(ok=False, error=wrapped + error)
        assert program is not None
        size = 20 * (1 << 20) + program.base_memory_bytes
        return PullResult(ok=True, duration_seconds=min(0.3 + size / (400 << 20), 3.0), size_bytes=size)

    def _registry_error(self, image: Image, *, authorized: bool) -> str:
        answer = self.registries.get(image.host)
        if answer is None:
            known = image.host == "localhost" or image.host.split(":")[0].endswith(_OPEN_SUFFIXES)
            answer = "open" if known else "absent"
        manifest = f'Head "https://{image.host}/v2/{image.path}/manifests/{image.digest or image.tag}"'
        if answer == "absent":
            host = image.host.split(":")[0]
            return f"failed to do request: {manifest}: dial tcp: lookup {host} on 10.96.0.10:53: no such host"
        if answer == "unreachable":
            return f"failed to do request: {manifest}: dial tcp 192.0.2.10:443: connect: connection refused"
        if answer == "timeout":
            return f"failed to do request: {manifest}: dial tcp 192.0.2.10:443: i/o timeout"
        if answer == "unavailable":
            url = manifest.partition(" ")[2].strip('"')
            return f"unexpected status from HEAD request to {url}: 503 Service Unavailable"
        if answer == "rate-limited":
            url = manifest.partition(" ")[2].strip('"')
            return (
                f"unexpected status from HEAD request to {url}: 429 Too Many Requests - Server message: "
                "toomanyrequests: You have reached your unauthenticated pull rate limit."
            )
        if answer == "private" and not authorized:
            return (
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
                f"https://{image.host}/token?scope=repository%3A{image.path.replace('/', '%2F')}%3Apull&"
                f"service={image.host}: 401 Unauthorized"
            )
        return ""

    def _absent(self, image: Image) -> str:
        known = image.repository in self.repositories
        if not known and image.host == "docker.io":
            return (
                "pull access denied, repository does not exist or may require authorization: server message: "
                "insufficient_scope: authorization failed"
            )
        return f"{image}: not found"
