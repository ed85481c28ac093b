# Two images: `prefect` is the server, `anogen` does the work.
#   docker build --target anogen .                                    for CPUs
#   docker build --target anogen --build-arg TORCH_VARIANT=cu130 .    for NVIDIA GPUs
FROM python:3.11.14-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1
RUN useradd --create-home --uid 10001 anogen \
    && install --directory --owner=anogen /keys
WORKDIR /home/anogen
# Server and workers speak the same version of Prefect.
ARG PREFECT_VERSION=3.9.1

FROM base AS prefect
ARG PREFECT_REDIS_VERSION=0.3.0
RUN pip install "prefect==${PREFECT_VERSION}" "prefect-redis==${PREFECT_REDIS_VERSION}"
USER 10001

FROM base AS anogen
ARG TORCH_VERSION=2.13.0
# PyTorch's own name of a build: cpu, or a CUDA version. A GPU needs nothing but its driver on the host.
ARG TORCH_VARIANT=cpu
RUN pip install "torch==${TORCH_VERSION}" --index-url "https://download.pytorch.org/whl/${TORCH_VARIANT}"
WORKDIR /opt/anogen
COPY . .
RUN pip install . "prefect==${PREFECT_VERSION}"
USER 10001
WORKDIR /home/anogen
