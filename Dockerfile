# syntax=docker/dockerfile:1
# The production image: one image, four commands (web, worker, beat, watch). helm/recist chooses the command.

FROM python:3.13-slim AS build
RUN pip install --no-cache-dir "uv>=0.9,<1"
WORKDIR /app
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
# Dependencies first: they change less often than the code, so their layer is kept.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --compile-bytecode
COPY . .
RUN .venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
 && .venv/bin/python -m compileall -q recist_web healing knowledge

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --no-create-home recist \
 && install -d -o recist -g recist /var/lib/recist
WORKDIR /app
COPY --from=build /app /app
# Everything that is written goes below VAR_DIR; the rest of the file system may be read-only.
ENV PATH=/app/.venv/bin:$PATH VAR_DIR=/var/lib/recist PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["python", "-m", "uvicorn", "recist_web.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off"]
