"""`/docs`: the OpenAPI document as one page to read, without scripts and without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem; border-top: 1px solid #8884; padding-top: 1rem }
code, pre { font: 14px/1.5 ui-monospace, monospace; background: #8882; border-radius: 4px }
code { padding: 0 .2em } pre { padding: .8em; overflow-x: auto } pre code { background: none; padding: 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-bottom: 1px solid #8884 }
:root { color-scheme: light dark }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "cache-control": "no-cache",
    # This very style sheet, and nothing else.
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
}


@router.get("/docs", name="docs")
async def docs(request: Request) -> HTMLResponse:
    """Every call with its parameters, examples and answers."""
    app: FastAPI = request.app
    return HTMLResponse(docs_page(app.openapi(), str(request.base_url).rstrip("/")), headers=_HEADERS)


def docs_page(document: Mapping[str, Any], base_url: str) -> str:
    """Renders an OpenAPI document.

    Args:
        document: As `app.openapi()` gives it.
        base_url: What the example calls begin with.

    Returns:
        A whole HTML page.
    """
    info = document["info"]
    calls = [
        part
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method.upper(), path, operation, document, base_url)
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><meta charset="utf-8"><title>{_escape(info["title"])}</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{_STYLE}</style>",
            f"<h1>{_escape(info['title'])} {_escape(info['version'])}</h1>",
            f"<p>{_text(info.get('summary', ''))} For machines: <a href='openapi.json'>openapi.json</a>; "
            "what each error means: <a href='problems'>problems</a>.</p>",
            *calls,
            "</html>",
        ]
    )


def _operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any], base_url: str
) -> Iterator[str]:
    yield f"<h2><code>{method} {_escape(path)}</code> {_text(operation['summary'])}</h2>"
    for paragraph in operation.get("description", "").split("\n\n"):
        yield f"<p>{_text(paragraph)}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield _table(
            ("Parameter", "In", "What it takes"),
            [
                (parameter["name"], parameter["in"], _text(_description(parameter)))
                for parameter in parameters
            ],
        )
    content = operation.get("requestBody", {}).get("content", {})
    body = next(iter(content.values()), None)
    if body:
        schema = document["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]
        yield _table(
            ("Field", "What it takes"),
            [(name, _text(_description(field))) for name, field in schema["properties"].items()],
        )
    answers = operation["responses"].get("200", {}).get("content", {})
    save = " -o image" if any(kind.startswith("image/") for kind in answers) else ""
    for example in _examples(method, path, parameters, content, base_url, save):
        yield f"<pre><code>{_escape(example)}</code></pre>"
    yield _table(
        ("Answer", "What it means", "As"),
        [
            (status, _text(answer["description"]), _text(", ".join(answer.get("content", ()))))
            for status, answer in operation["responses"].items()
        ],
    )


def _examples(
    method: str,
    path: str,
    parameters: list[dict[str, Any]],
    content: Mapping[str, Any],
    base_url: str,
    save: str,
) -> Iterator[str]:
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["schema"]["examples"][0]))
    if not content:
        yield f"curl '{base_url}{path}'{save}"
        return
    media_type, body = next(iter(content.items()))
    for example in body["examples"].values():
        if media_type == "multipart/form-data":
            fields = {"image": "@picture.jpg", **example["value"]}
            forms = " ".join(f"-F '{name}={value}'" for name, value in fields.items())
            yield f"curl '{base_url}{path}' {forms}{save}"
        else:
            yield (
                f"curl -X {method} '{base_url}{path}' -H 'content-type: application/json' "
                f"-d '{json.dumps(example['value'])}'"
            )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """The first cell of each row is a name, to be escaped; the others are HTML."""
    lines = ["".join(f"<td>{cell}</td>" for cell in (_text(f"`{name}`"), *rest)) for name, *rest in rows]
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><tr>{titles}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _description(node: Mapping[str, Any]) -> str:
    return str(node.get("description") or node.get("schema", {}).get("description", ""))


def _text(markdown: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _escape(markdown))


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
