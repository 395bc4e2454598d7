# BatchRouter in one image, for each of its roles: `serve` (all in one), `api`, `worker`, and the commands beside them.
# docs/deployment.md tells how to run it.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Dependencies first: this layer stays as it is until a lock changes. All have wheels, so nothing is compiled, and a
# package whose hash is not in the lock is refused. The environment has no pip of its own.
COPY requirements/build.lock requirements/server.lock requirements/
RUN python -m venv --without-pip /opt/batchrouter \
    && pip --python /opt/batchrouter/bin/python install --require-hashes --only-binary :all: -r requirements/server.lock

# What builds our wheel, and the dashboard in it, stays in this stage.
COPY requirements/web.lock requirements/
RUN pip install --require-hashes --only-binary :all: -r requirements/build.lock -r requirements/web.lock
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY src src
COPY web web
RUN pip wheel --no-build-isolation --no-deps --wheel-dir wheels . \
    && pip --python /opt/batchrouter/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="BatchRouter" \
      org.opencontainers.image.description="OpenAI's Files and Batch API in front of any model provider" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, so that Kubernetes can see that it is not root, and the same in every build, so that volumes stay readable.
RUN groupadd --gid 10001 batchrouter \
    && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /srv/batchrouter \
       --shell /usr/sbin/nologin batchrouter \
    && install --directory --owner=10001 --group=10001 --mode=0755 /srv/batchrouter \
    && install --directory --owner=10001 --group=10001 --mode=0700 /srv/batchrouter/batchrouter-data

COPY --from=build /opt/batchrouter /opt/batchrouter
COPY deploy/healthcheck.py /opt/batchrouter/healthcheck.py
# The image may run on a read-only root: only the volume and /tmp are written to. Into the volume goes, too, what a
# worker puts aside while PostgreSQL is away: by default that is below XDG_STATE_HOME.
ENV PATH=/opt/batchrouter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/srv/batchrouter/batchrouter-data

# In this folder every command finds batchrouter.yaml, if one is mounted, and ./batchrouter-data, the default.
WORKDIR /srv/batchrouter
USER 10001:10001
VOLUME /srv/batchrouter/batchrouter-data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/batchrouter/healthcheck.py"]
ENTRYPOINT ["batchrouter"]
CMD ["serve", "--host", "0.0.0.0"]
