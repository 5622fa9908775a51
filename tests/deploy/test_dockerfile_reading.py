"""What `make prove-images` reads: Dockerfiles and .dockerignore, as Docker does."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.docker.context import Ignored
from deploy.docker.dockerfile import DockerfileError, read, substituted

TEXT = """# comment
ARG BASE=python:3.11
FROM ${BASE} AS first
RUN one "a  b" \\
# a comment within
 && two
COPY --from=other --chown=1:2 a b ./
ENV A=1 \\
    B="x y"

FROM first AS second
LABEL c=${A}
USER 5
CMD ["run", "it now"]
HEALTHCHECK NONE
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "Dockerfile"
    file.write_text(text, "utf-8")
    return file


def test_stages_and_instructions(tmp_path: Path) -> None:
    found = read(written(tmp_path, TEXT))
    assert found.base_image("second") == "python:3.11"
    assert [stage.name for stage in found.lineage("second")] == ["first", "second"]
    run, copy, env = found.stages["first"].instructions
    assert (run.keyword, run.text.split(), run.line) == ("RUN", ["one", '"a', 'b"', "&&", "two"], 4)
    assert '"a  b"' in run.text  # a shell sees what was written
    assert copy.flags() == ({"from": "other", "chown": "1:2"}, "a b ./")
    assert env.pairs() == [("A", "1"), ("B", "x y")]
    assert found.pairs("second", "ENV") == {"A": "1", "B": "x y"}
    assert found.last("second", "USER").text == "5"
    assert found.last("second", "CMD").exec_form() == ["run", "it now"]
    assert found.last("second", "HEALTHCHECK").exec_form() is None
    assert found.last("second", "ENTRYPOINT") is None


@pytest.mark.parametrize("text", ["FROM a\nRUN <<EOF\nx\nEOF\n", "RUN x\n", "FROM --platform=x a AS b\n"])
def test_what_is_not_understood_is_no_silence(text: str, tmp_path: Path) -> None:
    with pytest.raises(DockerfileError):
        read(written(tmp_path, text))


def test_variables() -> None:
    assert substituted("$A-${B}${C:-c}${A:+yes}${C:+no}\\$A", {"A": "1", "B": "2"}) == "1-2cyes$A"


def test_the_last_pattern_that_fits_decides() -> None:
    ignored = Ignored("# all but\n*\n!service\n!deploy/docker/x.py\n**/*.pyc\n/service/a?.txt\n")
    for path in ("README.md", "deploy/docker/y.py", "service/deep/er/x.pyc", "service/ab.txt", "x.pyc"):
        assert path in ignored, path
    for path in ("service/app.py", "service/deep/er/x.py", "deploy/docker/x.py", "service/abc.txt"):
        assert path not in ignored, path
