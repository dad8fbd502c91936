"""The table of faults in docs/scenarios.md: ``python -m healing.sandbox.faults.table [--check] docs/scenarios.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from healing.sandbox.faults.injector import FAULTS

_START, _END = "<!-- faults -->\n", "<!-- /faults -->"


def fault_table() -> str:
    """A Markdown table with a row a fault."""
    rows = ["| fault | kind | what | parameters |", "|---|---|---|---|"]
    for fault in FAULTS.values():
        shown = [f"`{p.name}`{' (required)' if p.required else ''}" for p in fault.parameters]
        rows.append(f"| `{fault.name}` | {fault.kind} | {fault.title} | {', '.join(shown)} |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    path = Path(next(word for word in arguments if not word.startswith("-")))
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(_START, 1)
    after = rest.split(_END, 1)[1]
    wanted = before + _START + fault_table() + _END + after
    if wanted == text:
        return 0
    if check:
        sys.stderr.write(
            f"{path}: the table of faults is out of date; run python -m healing.sandbox.faults.table {path}\n"
        )
        return 1
    path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
