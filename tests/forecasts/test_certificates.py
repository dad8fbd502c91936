"""Certificates toward their end: what the exporter tells becomes a warning, a renewed one is none."""

from __future__ import annotations

import asyncio
import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from healing.forecasting import certificates
from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from healing.sandbox.virtual_time import run_virtual
from recist_web.evaluation.foresight.run import WorldMetrics
from tests.sandbox_apps.bench import EPOCH, shop


def secret(name: str, ends: datetime) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name}.example.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": base64.b64encode(pem).decode(), "tls.key": base64.b64encode(private).decode()},
    }


def test_a_certificate_that_nobody_renews_is_warned_of() -> None:
    start = datetime.fromtimestamp(EPOCH, UTC)
    soon, late = secret("shop-tls", start + timedelta(days=5)), secret("cart-tls", start + timedelta(days=60))
    broken = copy.deepcopy(soon) | {"metadata": {"name": "broken-tls"}}
    broken["data"]["tls.crt"] = base64.b64encode(b"not a certificate").decode()

    async def main() -> tuple[list[Any], list[Any]]:
        async with shop() as bench:
            for body in (soon, late, broken):
                bench.create("secrets", body)
            await asyncio.sleep(10)
            metrics = WorldMetrics(bench.sandbox)
            metrics.now = datetime.fromtimestamp(bench.clock(), UTC)
            first = certificates.look(metrics, ["shop"], metrics.now)
            renewed = secret("shop-tls", start + timedelta(days=90))["data"]
            bench.change("secrets", "shop-tls", lambda found: found.update(data=renewed))
            await asyncio.sleep(10)
            metrics.now = datetime.fromtimestamp(bench.clock(), UTC)
            return first, certificates.look(metrics, ["shop"], metrics.now)

    first, second = run_virtual(main())
    assert [(f.kind, f.subject) for f in first] == [(WarningKind.CERTIFICATE, ObjectRef("Secret", "shop", "shop-tls"))]
    assert abs(first[0].breach.seconds - 5 * 86_400) < 120
    assert second == []
