# syntax=docker/dockerfile:1
# The first stage installs the locked dependencies and compiles what would be compiled at every
# start: the modules, and the loops for large days. The second one copies the result into a Debian
# with its own Python, and has neither pip nor a compiler. docs/DEPLOYMENT.md says how to run it.

FROM debian:trixie-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/lottery
COPY locks/build.txt locks/runtime.txt locks/
RUN tools/bin/pip install --require-hashes -r locks/build.txt \
    && tools/bin/pip --python /opt/lottery/bin/python install --no-compile --require-hashes \
        -r locks/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY lottery lottery
COPY server server
COPY proto proto
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/lottery/bin/python install --no-compile --no-deps wheels/*.whl
# Compiled modules that are not compared with their source, whose times a copy may change; and the
# machine code of the loops, which any user may read and nobody but root write.
ENV NUMBA_CACHE_DIR=/opt/lottery/code NUMBA_CPU_NAME=generic
RUN /opt/lottery/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/lottery/lib \
    && install --directory /opt/lottery/code \
    && /opt/lottery/bin/python -c "import server.app; from lottery import operations; operations.warm_up()" \
    && chmod --recursive a+rX /opt/lottery

FROM debian:trixie-slim
LABEL org.opencontainers.image.title="options-assignment-lottery" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lottery \
    && install --directory --owner=lottery --group=lottery /var/lib/lottery
COPY --from=build /opt/lottery /opt/lottery
# The services listen on every address, which they refuse to do without TLS: mount certificates, or
# set LOTTERY_LISTEN to 127.0.0.1:50051. Health and metrics are for probes: publish neither.
ENV PATH=/opt/lottery/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/opt/lottery/code \
    NUMBA_CPU_NAME=generic \
    LOTTERY_LEDGER=/var/lib/lottery \
    LOTTERY_LISTEN=0.0.0.0:50051 \
    LOTTERY_HEALTH_LISTEN=0.0.0.0:50052 \
    LOTTERY_METRICS_LISTEN=0.0.0.0:9464
USER 10001:10001
# Nothing is left to compile for this user, or the image is not made.
RUN ["python", "-c", "import server.app, sys; from lottery import operations; operations.report_compiling(sys.exit); operations.warm_up()"]
VOLUME /var/lib/lottery
EXPOSE 50051 50052 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["lottery", "health"]
ENTRYPOINT ["lottery"]
CMD ["serve"]
