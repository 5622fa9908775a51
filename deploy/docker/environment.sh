#!/bin/sh
# Makes /opt/ganserve, in two layers: what an image needs, which stays while only our own code changes, and our code.
# Usage: environment.sh needs EXTRA[,EXTRA…] [REQUIREMENT…] | environment.sh own
# Bytecode that is never checked against its source starts fast where nothing can be written.
set -eu
python=/opt/ganserve/bin/python

install_packages() {
  /tools/bin/pip --python "$python" install --no-cache-dir "$@"
}

compile() {
  "$python" -m compileall -q --invalidation-mode unchecked-hash "$@"
}

case "$1" in
needs)
  extras=$2
  shift 2
  python3 -m venv --without-pip /opt/ganserve
  python3 requirements.py pyproject.toml "$extras" > requirements.txt
  install_packages --only-binary :all: --constraint constraints.txt --requirement requirements.txt "$@"
  # PyTorch brings test code for newer Pythons, which this one cannot compile.
  compile -x torch/testing/_internal /opt/ganserve/lib
  ;;
own)
  install_packages --no-deps /wheels/*.whl
  compile /opt/ganserve/lib/python3*/site-packages/service /opt/ganserve/lib/python3*/site-packages/training
  ;;
*)
  echo "environment.sh: $1 is neither needs nor own" >&2
  exit 2
  ;;
esac
