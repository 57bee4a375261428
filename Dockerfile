# syntax=docker/dockerfile:1
# Two stages: wheels are built where the compiler is, and only installed in the image that runs. No weights inside:
# mount a licensed face pack.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# hnswlib builds for the very machine it is built on unless told otherwise; such an image dies of SIGILL elsewhere
# (nmslib/hnswlib issues 468, 553). x86-64-v3: AVX2, every server since 2015. For another architecture set CFLAGS="-O3".
ARG CFLAGS="-O3 -march=x86-64-v3"
ENV HNSWLIB_NO_NATIVE=1 CFLAGS=${CFLAGS}
COPY requirements.lock service.lock build-constraints.txt ./
RUN python -m venv /opt/gerbang \
 && python -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir "$(grep -o '^uv==[0-9.]*' requirements.lock)" \
 && /opt/uv/bin/uv pip install --no-cache --python /opt/gerbang/bin/python --require-hashes \
      --build-constraints build-constraints.txt -r service.lock
COPY pyproject.toml README.md ./
COPY clients clients
COPY service service
RUN /opt/uv/bin/uv pip install --no-cache --python /opt/gerbang/bin/python --no-deps \
      --build-constraints build-constraints.txt .

FROM python:${PYTHON}-slim
# libgomp1: faiss and ONNX Runtime compute with OpenMP.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/gerbang --create-home gerbang \
 && install -d -o gerbang -g gerbang -m 0700 /var/lib/gerbang/data
COPY --from=build /opt/gerbang /opt/gerbang
ENV PATH=/opt/gerbang/bin:$PATH PYTHONUNBUFFERED=1 \
    GERBANG_DATA=/var/lib/gerbang/data GERBANG_LISTEN=0.0.0.0:50051 GERBANG_SERVER=127.0.0.1:50051 \
    GERBANG_METRICS_LISTEN=127.0.0.1:9464
USER gerbang
VOLUME /var/lib/gerbang/data
EXPOSE 50051
# Whether it lives, not whether it is ready: Swarm and ECS replace what is unhealthy, and a server that loads a large
# gallery, or can't read its database and searches what is in memory, must be left alone. Traffic: ask /readyz.
# Its own port: the other one may want certificates.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/livez', timeout=4)"]
STOPSIGNAL SIGTERM
# The port is published: mount a key (GERBANG_KEY_FILE), a certificate, an authority and a policy, or GERBANG_INSECURE=true
# says that nothing of the kind is wanted.
ENTRYPOINT ["gerbang", "serve"]
