# docker buildx bake --file deploy/docker/docker-bake.hcl            all images, as they are pushed
# docker buildx bake --file deploy/docker/docker-bake.hcl sbom       sbom/gateway.cdx.json
# Settings are environment variables: REGISTRY=registry.example.com/ VERSION=… REVISION=$(git rev-parse HEAD) …

variable "REGISTRY" {
  default = ""
}
variable "VERSION" {
  default = "0.1.0"
}
variable "REVISION" {
  default = ""
}
variable "SOURCE" {
  default = ""
}
# NAME:TAG@sha256:DIGEST; deploy/docker/README.md says where digests come from.
variable "PYTHON_IMAGE" {
  default = "python:3.11.15-slim-bookworm"
}
variable "TRITON_IMAGE" {
  default = "nvcr.io/nvidia/tritonserver:26.10-py3"
}

group "default" {
  targets = ["image"]
}

target "image" {
  name       = part
  matrix     = { part = ["gateway", "triton", "triton-cpu", "trainer"] }
  context    = "."
  dockerfile = "deploy/docker/Dockerfile"
  target     = part
  platforms  = ["linux/amd64"]
  tags       = ["${REGISTRY}ganserve/${part}:${VERSION}"]
  args = {
    PYTHON_IMAGE = PYTHON_IMAGE
    TRITON_IMAGE = TRITON_IMAGE
    VERSION      = VERSION
    REVISION     = REVISION
    SOURCE       = SOURCE
  }
  attest = ["type=provenance,mode=max", "type=sbom"]
}

target "sbom" {
  context    = "."
  dockerfile = "deploy/docker/Dockerfile"
  target     = "sbom"
  args       = { PYTHON_IMAGE = PYTHON_IMAGE }
  output     = ["type=local,dest=sbom"]
}
