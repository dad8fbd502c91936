"""The sandbox's process: the API server, the world behind it and its signals, on one port.

``python -m healing.sandbox.server --port 6443`` or ``manage.py sandbox``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
import yaml

from healing.sandbox.api.http.app import ApiApp
from healing.sandbox.api.versions import NEWEST_MINOR, OLDEST_MINOR, KubernetesVersion
from healing.sandbox.compose import Sandbox, build
from healing.sandbox.memory import collect_seldom
from healing.sandbox.scenarios import BUNDLED, EVALUATION, Scenario, ScenarioError, bundled, load_scenario

DEFAULT_DATA_DIR = Path("var/sandbox")
_GRACE_SECONDS = 1
_BACKLOG = 1024


class SandboxError(RuntimeError):
    """The sandbox cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Where the sandbox listens and writes. ``port`` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    scenario: str = ""
    faults: bool = True
    kubeconfig: Path | None = None
    data_dir: Path = DEFAULT_DATA_DIR
    json_line: bool = False
    kubernetes: KubernetesVersion = field(default_factory=KubernetesVersion)

    @property
    def kubeconfig_path(self) -> Path:
        return self.kubeconfig or self.data_dir / "kubeconfig"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running sandbox is found."""

    api: str
    kubeconfig: Path

    @property
    def prometheus(self) -> str:
        return f"{self.api}/prometheus"

    @property
    def loki(self) -> str:
        return self.api


class _Server(uvicorn.Server):
    """Ends watches before it waits for connections to close: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, app: ApiApp) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.watches.close_all()
        await super().shutdown(sockets)


def find_scenario(name: str) -> Path:
    """The file of a scenario: a path, or the name of a bundled one. `SandboxError` if there is neither."""
    path = Path(name)
    if path.exists():
        return path
    found = bundled(name)
    if found is not None:
        return found
    known = sorted(item.stem for place in (BUNDLED, EVALUATION) for item in place.glob("*.yaml"))
    listed = ", ".join(item for item in known if item != "schema")
    raise SandboxError(f"There is no scenario file {name}. Give a path, or one of the bundled names: {listed}.")


def _load(options: SandboxOptions) -> Scenario | None:
    if not options.scenario:
        return None
    try:
        return load_scenario(find_scenario(options.scenario), faults=options.faults)
    except ScenarioError as error:
        raise SandboxError(str(error)) from error


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `SandboxError` if the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        if port and error.errno in (98, 48):
            raise SandboxError(
                f"Port {port} on {host} is taken by another program. Choose another with --port, or 0 for a free one."
            ) from error
        raise SandboxError(f"The sandbox cannot listen on {host}:{port}: {error.strerror}.") from error
    return found


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    """A kubeconfig with one context, ``sandbox``; only its owner can read it."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "admin", "namespace": "default"}}],
        "current-context": "sandbox",
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        fresh.replace(path)
    except OSError as error:
        raise SandboxError(f"The kubeconfig cannot be written to {path}: {error.strerror}.") from error


async def serve(
    options: SandboxOptions, announce: Callable[[Address], None], *, sandbox: Sandbox | None = None
) -> None:
    """Run until SIGINT, SIGTERM or cancellation. ``announce`` is called once the API answers."""
    world = sandbox or build(_load(options), kubernetes=options.kubernetes)
    app = ApiApp(world.cluster, extra=world.signals.routes())
    listener = listen(options.host, options.port)
    try:
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = Address(f"http://{host}:{listener.getsockname()[1]}", options.kubeconfig_path)
        write_kubeconfig(address.kubeconfig, address.api, app.authenticator.admin_token)
        config = uvicorn.Config(
            app,
            interface="asgi3",
            loop="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config, app)
        parts = [asyncio.create_task(world.run(), name="sandbox"), asyncio.create_task(world.cluster.run(), name="api")]
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        announcing = asyncio.create_task(_announce_when_up(server, announce, address), name="announcement")
        try:
            done, _ = await asyncio.wait({serving, *parts}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                # A part that ends by itself has failed: say so with its own error.
                task.result()
        finally:
            server.should_exit = True
            for task in (*parts, announcing):
                task.cancel()
            await asyncio.gather(*parts, announcing, serving, return_exceptions=True)
    finally:
        listener.close()


async def _announce_when_up(server: uvicorn.Server, announce: Callable[[Address], None], address: Address) -> None:
    # uvicorn tells nobody that it has started.
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    announce(address)


def _print_address(options: SandboxOptions) -> Callable[[Address], None]:
    def announce(address: Address) -> None:
        lines = [
            f"Kubernetes API: {address.api}",
            f"Prometheus:     {address.prometheus}",
            f"Loki:           {address.loki}",
            f"Kubeconfig:     {address.kubeconfig}",
        ]
        if options.json_line:
            where = {
                "api": address.api,
                "prometheus": address.prometheus,
                "loki": address.loki,
                "kubeconfig": str(address.kubeconfig.resolve()),
            }
            lines.append(json.dumps(where))
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    return announce


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", default="", help="file of a scenario, or the name of a bundled one")
    parser.add_argument("--no-faults", action="store_true", help="leave the scenario's timeline out")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--kubeconfig", type=Path, default=None, help="where to write the kubeconfig")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=DEFAULT_DATA_DIR,
        help="directory of the sandbox's files (default: %(default)s)",
    )
    parser.add_argument(
        "--kubernetes-version",
        type=_kubernetes,
        default=KubernetesVersion(),
        metavar="1.N",
        help=f"the Kubernetes it is: 1.{OLDEST_MINOR} to 1.{NEWEST_MINOR} (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="also print the addresses as one line of JSON")


def _kubernetes(text: str) -> KubernetesVersion:
    """For argparse."""
    try:
        return KubernetesVersion.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def options_from(arguments: dict[str, Any]) -> SandboxOptions:
    return SandboxOptions(
        host=arguments["host"],
        port=arguments["port"],
        scenario=arguments["scenario"],
        faults=not arguments["no_faults"],
        kubeconfig=arguments["kubeconfig"],
        data_dir=arguments["data_dir"],
        json_line=arguments["json"],
        kubernetes=arguments["kubernetes_version"],
    )


def run(options: SandboxOptions) -> None:
    """Serve until a signal says stop. `SandboxError` if the sandbox cannot start."""
    collect_seldom()
    main = serve(options, _print_address(options))
    try:
        uvloop.run(main)
    except KeyboardInterrupt:
        # uvicorn raises the signal again after it has stopped cleanly.
        return


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A small Kubernetes cluster in one process.")
    add_arguments(parser)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        run(options_from(vars(parser.parse_args(argv))))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
