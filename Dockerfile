# One image for web, worker and commands. Build: docker build -t csf .
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --require-hashes -r requirements.txt

FROM python:3.12-slim
# tini reaps the children of the queue's cluster and passes signals on to its main process only. PostgreSQL's
# client programs make backups; they must not be older than the server.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini postgresql-client && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --uid 10001 csf
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /venv /venv
COPY --chown=csf:csf . .
# Hashed static files belong to the image; nothing of these throw-away values stays in it.
RUN CSF_MODE=demo SECRET_KEY=build DATABASE_URL=postgresql://build@localhost/build \
    python manage.py collectstatic --noinput --verbosity 0 && chown -R csf:csf staticfiles
USER 10001
EXPOSE 8000
ENTRYPOINT ["tini", "--"]
CMD ["gunicorn", "csf.wsgi", "--env", "DB_LOCK_TIMEOUT_MS=3000", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--no-control-socket", "--max-requests", "5000", "--max-requests-jitter", "500"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; r = u.Request('http://127.0.0.1:8000/healthz', headers={'X-Forwarded-Proto': 'https'}); u.urlopen(r, timeout=4)"]
