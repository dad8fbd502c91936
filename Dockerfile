# syntax=docker/dockerfile:1.7
# The production image: one image for every process; helm/recist and compose.yaml choose the command.

FROM python:3.13.14-slim-trixie AS build
WORKDIR /app
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_PROGRESS=1
COPY .ci/uv.txt .ci/uv.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement .ci/uv.txt
# Dependencies first: they change less often than the code, so their layer is kept. The lock file has their hashes.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --no-editable --compile-bytecode
# What is in it, for whoever has to know: CycloneDX, from the same lock file.
RUN uv export --quiet --frozen --no-default-groups --format cyclonedx1.5 --output-file sbom.cdx.json
COPY . .
RUN .venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
 && .venv/bin/python -m compileall -q manage.py recist_web healing knowledge \
 && rm -rf .ci uv.lock

FROM python:3.13.14-slim-trixie
LABEL org.opencontainers.image.title="ReCiSt" \
      org.opencontainers.image.description="Heals Kubernetes workloads, with people in the loop" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 recist \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/recist --no-create-home --shell /usr/sbin/nologin recist \
 && install -d -o 10001 -g 10001 -m 0770 /var/lib/recist \
 && pip uninstall --yes --quiet --disable-pip-version-check --root-user-action=ignore pip
WORKDIR /app
# Owned by root: what runs cannot change itself.
COPY --from=build /app /app
# Everything that is written goes below VAR_DIR and /tmp; the rest of the file system may be read-only.
ENV PATH=/app/.venv/bin:$PATH VAR_DIR=/var/lib/recist HOME=/var/lib/recist \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENV_FILE=/dev/null
USER 10001:10001
VOLUME /var/lib/recist
EXPOSE 8000
STOPSIGNAL SIGTERM
# The web process answers; the others leave a sign of life (healing/alive.py).
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "/app/recist_web/healthcheck.py"]
CMD ["python", "-m", "uvicorn", "recist_web.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--ws", "recist_web.websockets:SharedProtocol", "--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "10"]
