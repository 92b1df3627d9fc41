# One image for the API, every worker role, the migration and the namespace; the command says which.
FROM python:3.11.14-slim-bookworm AS packages

COPY deploy/requirements.lock /tmp/requirements.lock
# Wheels alone, checked by hash: no compiler, and nothing of a package runs while it is installed.
RUN python -m venv /opt/holdfast \
    && /opt/holdfast/bin/pip install --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.lock

FROM python:3.11.14-slim-bookworm

RUN groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast

COPY --from=packages /opt/holdfast /opt/holdfast
# .dockerignore lets the packages through and nothing else.
COPY . /app

# Compiled here, since the containers cannot write: three seconds of imports otherwise take longer.
RUN /opt/holdfast/bin/python -m compileall -q /app

ENV PATH=/opt/holdfast/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
USER 10001:10001
EXPOSE 8080
CMD ["python", "-m", "api"]
