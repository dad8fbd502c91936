"""How long records are kept, and where traces go."""

from recist_web.settings.base import _ENV

RETENTION_DAYS = _ENV.RETENTION_DAYS
RETENTION_DETAIL_DAYS = _ENV.RETENTION_DETAIL_DAYS
OTEL_EXPORTER_OTLP_ENDPOINT = _ENV.OTEL_EXPORTER_OTLP_ENDPOINT or ""
