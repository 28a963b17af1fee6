# The server (API, worker, migrations) in one image: `docker build -t dropbox-api .`
FROM node:24-slim AS web
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY clients/js/package.json clients/js/
COPY web/package.json web/
RUN npm ci
COPY clients/js clients/js
COPY web web
RUN npm run build --workspace web

FROM python:3.11-slim AS build
RUN pip install --no-cache-dir --disable-pip-version-check 'uv>=0.9,<1'
ENV UV_PROJECT_ENVIRONMENT=/app/.venv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /build
# Dependencies first, because they change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --extra server --extra thumbnails --no-install-project
COPY alembic alembic
COPY hatch_build.py ./
COPY src src
COPY --from=web /build/src/dropbox_api/_web src/dropbox_api/_web
RUN uv sync --frozen --no-dev --extra server --extra thumbnails --no-editable

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 DROPBOX_HTTP__HOST=0.0.0.0
USER app
WORKDIR /app
EXPOSE 8000
# For `serve`; docker-compose.yml disables it for the worker.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["dropbox-api"]
CMD ["serve"]
