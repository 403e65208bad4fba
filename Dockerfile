# All that ctcascade needs, pinned; a run needs no network.
#
#   docker build -t ctcascade .
#   docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/study" ctcascade \
#     --cores 4 --config samples=samples.tsv patients=patients.tsv results=results
#
# A site that pins the base by its digest gives --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# the kernels' cache must be writable wherever the image is read-only, or run by anyone; and Snakemake asks for the
# name of whoever runs it, which a user that the image does not know has not
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp LOGNAME=ctcascade NUMBA_CACHE_DIR=/tmp/ctcascade-kernels

WORKDIR /opt/ctcascade
COPY requirements.lock requirements-build.lock ./
RUN python -m pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m pip install --require-hashes --only-binary :all: --no-binary connection-pool --no-build-isolation \
       -r requirements.lock
COPY . ./
RUN python -m pip install --no-build-isolation --no-deps --editable .

WORKDIR /study
ENTRYPOINT ["snakemake", "--snakefile", "/opt/ctcascade/Snakefile"]
