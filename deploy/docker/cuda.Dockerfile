# The device half on a server's NVIDIA GPU, by ONNX Runtime's CUDA provider. From the checkout's top folder:
#   docker build -f deploy/docker/cuda.Dockerfile -t keras-ddl:cuda .
#   docker run --rm --gpus all -v ./bundle:/bundle:ro -v ./videos:/data keras-ddl:cuda scan /data --bundle /bundle --device cuda --out /data/results
ARG BASE=nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04
FROM ${BASE}
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
# The two libraries that OpenCV's wheel leaves out.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libglib2.0-0t64 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY keras_ddl keras_ddl
COPY export export
COPY deploy deploy
# onnxruntime-gpu takes the place of the CPU's wheel: both are the module onnxruntime.
# A cluster and object stores: --build-arg EXTRAS=edge,evidence,cluster,s3
ARG EXTRAS=edge,evidence
RUN pip install -c constraints.txt ".[${EXTRAS}]" \
 && pip uninstall -y onnxruntime && pip install onnxruntime-gpu && rm -rf /src
RUN useradd --create-home --uid 10001 ddl && mkdir /data && chown ddl /data
USER ddl
# YuNet, once, by its checksum; without a network: --build-arg YUNET=no, and the runner says what Haar misses.
ARG YUNET=yes
RUN if [ "$YUNET" = yes ]; then keras-ddl doctor --fetch; fi
WORKDIR /data
EXPOSE 8321 8322
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthz', timeout=4)"]
ENTRYPOINT ["keras-ddl"]
CMD ["stream", "--config", "/config/streams.toml", "--bundle", "/bundle", "--dashboard", "0.0.0.0:8321", "--device", "cuda"]
