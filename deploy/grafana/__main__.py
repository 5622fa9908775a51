"""`python -m deploy.grafana`: writes dashboards, rules, their tests and the runbook."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.grafana.files import generated

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Writes what differs, removes what is not generated any more, and says so; with --check it only says."""
    check = "--check" in sys.argv[1:]
    files = generated()
    stale = [path for folder in {path.parent for path in files} for path in (ROOT / folder).glob("*.*")]
    changed = [path for path, text in files.items() if not _is(ROOT / path, text)]
    leftover = [
        path.relative_to(ROOT)
        for path in stale
        if path.parent.name in ("dashboards", "rules", "tests") and path.relative_to(ROOT) not in files
    ]
    for path in changed:
        print(f"{path}: differs" if check else f"{path}: written")
        if not check:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(files[path], encoding="utf-8")
    for path in leftover:
        print(f"{path}: not generated" if check else f"{path}: removed")
        if not check:
            (ROOT / path).unlink()
    if check and (changed or leftover):
        sys.exit(1)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main()
