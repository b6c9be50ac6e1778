# syntax=docker/dockerfile:1
# The first stage installs the locked dependencies and compiles the loops. The second stage copies the
# result and runs as an unprivileged user; its root file system may be read-only. The ledger is a
# volume.

FROM python:3.13-slim-bookworm AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/lottery
COPY locks/build.txt locks/runtime.txt locks/
RUN /opt/lottery/bin/pip install --require-hashes -r locks/build.txt -r locks/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY lottery lottery
COPY server server
RUN /opt/lottery/bin/pip install --no-deps --no-build-isolation . \
    && /opt/lottery/bin/pip uninstall --yes hatchling
# The compiled loops are kept here. The server's user can read them but not change them.
ENV NUMBA_CACHE_DIR=/opt/lottery/numba NUMBA_CPU_NAME=generic
RUN /opt/lottery/bin/python -c "import server.app; from lottery import operations; operations.warm_up()"

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="options-assignment-lottery" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lottery \
    && install --directory --owner=lottery --group=lottery /var/lib/lottery
COPY --from=build /opt/lottery /opt/lottery
ENV PATH=/opt/lottery/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/opt/lottery/numba \
    NUMBA_CPU_NAME=generic \
    LOTTERY_LEDGER=/var/lib/lottery \
    LOTTERY_HEALTH_LISTEN=127.0.0.1:50052
USER 10001:10001
VOLUME /var/lib/lottery
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["lottery", "health"]
ENTRYPOINT ["lottery"]
CMD ["serve"]
