# The device half on a Jetson, with the TensorRT and the OpenCV of its JetPack. Built on the Jetson, from the checkout's top folder, with the
# JetPack image that fits its system (NVIDIA's l4t-jetpack of the same release; cat /etc/nv_tegra_release):
#   docker build -f deploy/docker/jetson.Dockerfile --build-arg BASE=IMAGE:TAG -t keras-ddl:jetson .
#   docker run --rm --runtime nvidia --device /dev/video0 -v ./bundle:/bundle keras-ddl:jetson stream --camera 0 --bundle /bundle --jsonl -
ARG BASE
FROM ${BASE}
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv python3-opencv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv --system-site-packages /opt/venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY keras_ddl keras_ddl
COPY export export
COPY deploy deploy
# No opencv-python and no tensorrt of the index: they would hide JetPack's, which have GStreamer and the driver's version.
RUN pip install --no-deps . \
 && pip install "numpy<2" av tqdm onnx onnxruntime protobuf "cuda-bindings>=12,<13" jinja2 argcomplete \
    starlette uvicorn prometheus-client paho-mqtt "tomli; python_version < '3.11'" && rm -rf /src
RUN useradd --create-home --uid 10001 --groups video ddl && mkdir /data && chown ddl /data
USER ddl
ARG YUNET=yes
RUN if [ "$YUNET" = yes ]; then keras-ddl doctor --fetch; fi
WORKDIR /data
EXPOSE 8321 8322
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthz', timeout=4)"]
ENTRYPOINT ["keras-ddl"]
CMD ["stream", "--config", "/config/streams.toml", "--bundle", "/bundle", "--dashboard", "0.0.0.0:8321"]
