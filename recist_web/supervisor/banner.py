"""What the person at the terminal reads when everything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recist_web.people import Login
    from recist_web.supervisor.launch import Target


def demo_banner(url: str, logins: Sequence[Login], target: Target, logs: Path, *, faults: bool) -> str:
    lines = ["", f"  ReCiSt is ready:  {url}/", "", *_login_lines(logins), ""]
    lines += [f"  The embedded cluster:  kubectl --kubeconfig {_short(target.kubeconfig)} get he -A"]
    lines += [f"  Prometheus and Loki:   {target.prometheus_url}  {target.loki_url}"]
    lines += [f"  Logs:                  {_short(logs)}/"]
    lines += ["", "  Faults appear within seconds." if faults else "  No faults are injected (DEMO_FAULTS=off)."]
    return "\n".join([*lines, "  Ctrl-C stops everything.", ""])


def run_banner(url: str, login: Login | None, target: Target, var: Path) -> str:
    """`var`: where the state of this cluster is kept."""
    lines = ["", f"  ReCiSt is ready:  {url}/", ""]
    if login:
        lines += [*_login_lines([login]), "  Write the password down: it is not shown again.", ""]
    else:
        lines += ["  Sign in as before. A lost password is replaced by:"]
        lines += [f"    VAR_DIR={_short(var)} .venv/bin/python manage.py changepassword admin", ""]
    lines += [f"  Cluster:     {target.cluster_name} ({_short(target.kubeconfig)})"]
    lines += [f"  Prometheus:  {target.prometheus_url or 'none: no metrics are watched'}"]
    lines += [f"  Loki:        {target.loki_url or 'none: logs are read from the cluster'}"]
    lines += [f"  State:       {_short(var)}/ (log/ has what the processes say)"]
    lines += ["", "  Nothing is healed until a SelfHealingPolicy says what may be done, and where."]
    return "\n".join([*lines, "  Ctrl-C stops everything.", ""])


def _login_lines(logins: Sequence[Login]) -> list[str]:
    return [f"  sign in as  {login.name:<9} password  {login.password}   ({login.may})" for login in logins]


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
