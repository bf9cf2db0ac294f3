# Serve a directory of manifests: docker build -f examples/serve.Dockerfile -t refmaker-serve .
#   docker run -p 8000:8000 -e REFMAKER_SERVE_TOKEN=… -v /data:/data:ro refmaker-serve
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir '/src[serve,http,s3,filters,parquet,fast]' && rm -rf /src \
    && useradd --create-home --uid 10001 refmaker
USER refmaker
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz')"]
# In the container every network is that of the container; what reaches it from outside is `docker run -p`.
CMD ["refmaker", "serve", "/data", "--host", "0.0.0.0", "--port", "8000", "--allow", "/data"]
