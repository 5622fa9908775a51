"""The operator's guide: links lead somewhere, commands exist, every alert is in it, its sums are right."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from service.cli import app
from service.settings import Settings
from tests.deploy.guide import GUIDE, ROOT, commands, section
from tests.deploy.helm_chart import CHART, NEWEST, find, helm, problems
from tests.operator_tools import tool
from tests.postgres_process import find_binaries

TEXT = GUIDE.read_text()
PAGES = sorted(
    path
    for folder in ("", "deploy/**", "service/**", "training/**", "model_repository/**", "tests/**")
    for path in ROOT.glob(f"{folder}/*.md".removeprefix("/"))
)
RULES = CHART / "files" / "rules"


def anchors(path: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for title in re.findall(r"^#+ (.*)$", prose, re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        found.add(re.sub(r"[^\w -]", "", text.strip().lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.relative_to(ROOT)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.relative_to(ROOT)}: {link}"


def test_every_alert_has_a_row_with_its_place_in_the_runbook() -> None:
    alerts = {
        rule["alert"]: rule["labels"]["severity"]
        for path in RULES.glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    rows = {
        name: (link, page)
        for name, link, page in re.findall(
            r"^\| \[(\w+)\]\(([^)]*)\)( \(page\))? \|(?: [^|]+ \|){2}$", section("Alerts"), re.MULTILINE
        )
    }
    assert rows.keys() == alerts.keys()
    for name, (link, page) in rows.items():
        assert link == f"prometheus/runbook.md#{name.lower()}"
        assert bool(page) == (alerts[name] == "page"), name


def test_the_contents_name_every_section() -> None:
    listed = re.findall(r"^- \[([^]]+)\]", TEXT.partition("\n## ")[0], re.MULTILINE)
    assert listed == re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


@functools.cache
def said_of(program: str, *words: str) -> str:
    """The help of a program's subcommand."""
    path = str(find_binaries() / program) if program.startswith(("pg_", "psql")) else tool(program)
    done = subprocess.run([path, *words, "--help"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def split(line: str) -> list[list[str]]:
    """The commands of a line, as words; quotes kept together, what comes before a program left out."""
    words = re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""", line)
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&", ">"):
            found.append([])
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return found


EVERY = [words for line in commands(TEXT) for words in split(line)]


def options(words: list[str]) -> list[str]:
    """The long options among words, up to `--`, which begins another command."""
    own = words[: words.index("--")] if "--" in words else words
    return [word.partition("=")[0] for word in own if word.startswith("--")]


def test_commands_of_ours_exist() -> None:
    root = typer.main.get_command(app)
    seen = 0
    for words in EVERY:
        own = words[words.index("--") + 1 :] if "--" in words else words
        if own[:1] != ["ganserve"]:
            continue
        found: Any = root
        rest = own[1:]
        while isinstance(found, TyperGroup):
            assert rest
            assert rest[0] in found.commands, own
            found = found.commands[rest.pop(0)]
        known = {
            option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(options(rest)) <= known, own
        seen += 1
    assert seen > 10


def test_commands_of_others_know_their_options() -> None:
    helps = {"helm": 1, "kubectl": 1, "amtool": 2, "pg_dump": 0, "pg_restore": 0, "psql": 0}
    inline = [split(text)[0] for text in re.findall(r"`((?:helm|kubectl|amtool|psql|pg_\w+) [^`]*)`", TEXT)]
    seen = 0
    for words in (*EVERY, *inline):
        if not words or words[0] not in helps:
            continue
        program, rest = words[0], words[1:]
        if program == "kubectl" and rest[:1] == ["--namespace"]:
            rest = rest[2:]
        depth = helps[program]
        if program == "kubectl" and rest[:1] in (["create"], ["rollout"]):
            depth = 3 if rest[1] == "secret" else 2
        named = [word for word in rest[:depth] if not word.startswith("-")]
        text = said_of(program, *named)
        for option in options(rest):
            assert re.search(rf"{option}\b", text) or option == "--namespace", (words, option)
        seen += 1
    assert seen > 20


def yaml_block(beginning: str) -> str:
    """The block of the guide that begins so."""
    (found,) = (
        block
        for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
        if block.startswith(beginning)
    )
    return str(found)


def test_the_values_of_the_first_day_make_what_the_commands_speak_of(tmp_path: Path) -> None:
    values = tmp_path / "production.yaml"
    values.write_text(yaml_block("images: {registry"))
    text = helm("template", "ganserve", str(CHART), "--namespace", "images", "--values", str(values))
    objects: tuple[dict[str, Any], ...] = tuple(each for each in yaml.safe_load_all(text) if each)
    assert problems(objects, NEWEST) == []
    names = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in objects}
    spoken_of = set(re.findall(r"\b((?:deployment|statefulset|job)/[\w-]+)", TEXT))
    assert spoken_of
    assert spoken_of <= names
    secrets = {
        word
        for words in EVERY
        if "secret" in words and "create" in words
        for word in [words[words.index("generic") + 1]]
    }
    used = set(re.findall(r"(?:secretName|name): (ganserve-(?:keys|database|s3))\b", text))
    assert secrets == used
    migrations = find(objects, "Job", "migrations")
    assert migrations["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_the_pod_for_model_repositories_may_run() -> None:
    assert problems((yaml.safe_load(yaml_block("apiVersion: v1\nkind: Pod")),), NEWEST) == []


def harmonic(n: int, s: float, exact: int = 100_000) -> float:
    """1 + 1/2^s + … + 1/n^s, the tail as an integral."""
    head = sum(k**-s for k in range(1, min(n, exact) + 1))
    return head if n <= exact else head + (n ** (1 - s) - exact ** (1 - s)) / (1 - s)


def test_the_hits_of_the_cache_add_up() -> None:
    rows = re.findall(r"^\| 10([⁵⁶⁷]) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for exponent, *hits in rows:
        cached = 10 ** ("⁵⁶⁷".index(exponent) + 5)
        for s, hit in zip((0.8, 1.0 + 1e-9, 1.2), hits, strict=True):
            assert harmonic(cached, s) / harmonic(10**8, s) == pytest.approx(float(hit), abs=0.006)


def rows_of(title: str, columns: int) -> list[list[str]]:
    """The rows of a section's tables that have so many columns, after the first, of which one is a number."""
    found = re.findall(r"^\| [^|]+((?: \| [^|\n]+)+) \|$", section(title), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")[1:]] for row in found]
    return [row for row in cells if len(row) == columns and re.fullmatch(r"0?\.?[\d.]+", row[0])]


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_images_of_ten_cores_and_costs_follow_from_the_same_cpu_time() -> None:
    sizes = rows_of("From images a second to cores and GPUs", 4)
    assert len(sizes) == 7
    for cpu, images, *_ in sizes:
        assert 10 * 0.6 / number(cpu) == pytest.approx(number(images), rel=0.03)
    costs = rows_of("Cost of 1,000 images", 3)
    assert len(costs) == 6
    for cpu, hours, cost in costs:
        assert cpu in [row[0] for row in sizes]
        assert 1000 * number(cpu) / (3600 * 0.6) == pytest.approx(number(hours), rel=0.03)
        assert 0.04 * 1000 * number(cpu) / (3600 * 0.6) == pytest.approx(number(cost), rel=0.03)


def test_settings_and_targets_of_make_exist() -> None:
    named = set(re.findall(r"`(?:GANSERVE_)?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?::[^`]*)?`", TEXT))
    ours = {name for name in named if not name.startswith(("OTEL_", "AWS_"))}
    assert len(ours) >= 10
    assert {name.lower() for name in ours} <= Settings.model_fields.keys()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?: ARGS|`)", TEXT)) <= targets
