# The worker and all commands, for a read-only root file system and any user but root.
#   docker build --tag shoal:0.1.0 .
#   docker build --build-arg VARIANT=cuda --tag shoal:0.1.0-cuda .

# Both stages. The wheels of constraints.txt and the tests are of its Python.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# cpu, or cuda: PyTorch with CUDA 13, 5 GB more.
ARG VARIANT=cpu
ARG EXTRAS="embedded parquet codecs otel s3"

# hnswlib comes as source. The base image says which version of the compiler.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY constraints.txt pyproject.toml ./
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/python -m pip install --no-cache-dir --constraint constraints.txt uv \
    && python3 -m venv --without-pip /opt/shoal

# What Shoal needs, apart from Shoal itself, so that a change of its code builds in seconds.
# HNSWLIB_NO_NATIVE: no instruction that only the building machine has.
ENV HNSWLIB_NO_NATIVE=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/shoal
RUN case "${VARIANT}" in \
        cpu) export UV_TORCH_BACKEND=cpu ;; \
        cuda) ;; \
        *) echo "VARIANT: '${VARIANT}': allowed are cpu and cuda" >&2; exit 2 ;; \
    esac; \
    set --; \
    for extra in ${EXTRAS}; do set -- "$@" --extra "${extra}"; done; \
    /opt/uv/bin/uv pip install --constraint constraints.txt "$@" --requirement pyproject.toml

COPY LICENSE README.md ./
COPY index index
COPY models models
COPY worker worker
RUN /opt/uv/bin/uv pip install --no-deps --build-constraint constraints.txt .


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="shoal" \
      org.opencontainers.image.description="Keeps photo collections grouped while photos keep coming" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN groupadd --gid 10001 shoal \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin shoal \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/shoal /opt/shoal

# Below /tmp: machine code of the kernels, compiled on first use.
# NVIDIA_DRIVER_CAPABILITIES: what a container that is given a GPU may do with it.
ENV PATH=/opt/shoal/bin:$PATH \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SHOAL_DATA_DIR=/data \
    SHOAL_HTTP_HOST=0.0.0.0 \
    SHOAL_HTTP_PORT=9108 \
    SHOAL_LOG_FORMAT=json

USER 10001:10001
WORKDIR /tmp
VOLUME /data
EXPOSE 9108

# The start may replay a log: that is no reason to be called unhealthy.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2h --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['SHOAL_HTTP_PORT']), timeout=5); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["shoal"]
CMD ["worker"]
