"""`manage.py diagnose SNAPSHOT`: what is wrong in a snapshot of a cluster. No database, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.collect.files import SnapshotError, read_snapshot
from healing.diagnosis.reasoner import diagnose
from healing.findings import Diagnosis


class Command(BaseCommand):
    help = (
        "Diagnose a snapshot: a directory or .tar.gz of Kubernetes objects as kubectl prints them, with logs,"
        " metrics.json and alerts.json if there are any. Exit code 0, or 2 where the input cannot be used."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", type=Path, metavar="SNAPSHOT")
        parser.add_argument("--namespace", "-n", metavar="N", help="Examine this namespace only.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        namespace: str | None = options["namespace"]
        try:
            snapshot = read_snapshot(options["snapshot"])
        except SnapshotError as error:
            raise CommandError(str(error), returncode=2) from error
        if namespace is not None and namespace not in snapshot.namespaces():
            known = ", ".join(snapshot.namespaces()) or "none"
            self.stderr.write(f"Namespace {namespace} has no workloads in the snapshot. It has: {known}.")
        diagnosis = diagnose(snapshot, namespaces=[namespace] if namespace is not None else None)
        if options["as_json"]:
            self.stdout.write(json.dumps(as_json(diagnosis), indent=2, ensure_ascii=False, default=str))
        else:
            self.stdout.write(as_text(diagnosis))


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The command's JSON: ``{"findings": [...], "missingSources": {...}}``, best first."""
    by_id = {item.id: item for item in diagnosis.evidence}
    findings = []
    for finding in diagnosis.findings:
        ref = finding.object
        findings.append(
            {
                "cause": finding.cause,
                "object": {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name},
                "confidence": finding.confidence,
                "explanation": finding.explanation,
                "evidence": [
                    {
                        "id": item.id,
                        "kind": item.kind,
                        "source": item.source,
                        "title": item.title,
                        "text": item.text,
                        "object": item.object.as_json() if item.object else None,
                        "at": item.at,
                    }
                    for item in (by_id[key] for key in finding.evidence if key in by_id)
                ],
                "suggestedActions": list(finding.suggested_actions),
                "fixes": list(CAUSES[finding.cause].fixes),
                "facts": finding.facts,
                "wouldSettle": list(finding.would_settle),
            }
        )
    return {"findings": findings, "missingSources": diagnosis.missing_sources}


def as_text(diagnosis: Diagnosis) -> str:
    """For a terminal."""
    lines = []
    by_id = {item.id: item for item in diagnosis.evidence}
    for number, finding in enumerate(diagnosis.findings, 1):
        unsure = "Not sure: " if finding.would_settle else ""
        lines.append(f"{number}. {unsure}{finding.cause} on {finding.object} (confidence {finding.confidence:.0%})")
        lines.append(f"   {finding.explanation}")
        for item in (by_id[key] for key in finding.evidence[:4] if key in by_id):
            first = item.text.strip().splitlines()[0][:160] if item.text.strip() else ""
            lines.append(f"   - {item.title}{': ' + first if first else ''}")
        lines += [f"   To settle it: {text}" for text in finding.would_settle]
        lines.append(f"   Fix: {' '.join(CAUSES[finding.cause].fixes)}")
        lines.append("")
    if not diagnosis.findings:
        lines.append("Nothing wrong was found.")
    for source, why in diagnosis.missing_sources.items():
        lines.append(f"Not seen: {source} ({why}).")
    return "\n".join(lines).rstrip()
