"""Jobs and items as everybody outside sees them: the API's answers, events, manifests and webhooks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from service.jobs.records import Item, Job, PrefixSource, SeedSource


def job_json(job: Job, *, owner: bool = False) -> dict[str, Any]:
    """A job.

    Args:
        job: The job.
        owner: Whether the owner is told, which is for admins.

    Returns:
        Plain JSON values.
    """
    spec = job.spec
    inputs = [
        {"prefix": source.url, "pattern": source.pattern}
        for source in spec.sources
        if isinstance(source, PrefixSource)
    ]
    seeds = [
        {"first": source.first, "count": source.count}
        for source in spec.sources
        if isinstance(source, SeedSource)
    ]
    return {
        "id": job.id,
        "object": "job",
        "operation": spec.operation,
        "model": spec.model,
        "parameters": spec.parameters,
        **({"inputs": inputs} if inputs else {}),
        **({"seeds": seeds[0]} if seeds else {}),
        "naming": spec.naming,
        "state": job.state.value,
        "cancelling": job.cancelling,
        "priority": job.priority,
        "counts": asdict(job.counts),
        "listed": job.listed,
        "revision": job.revision,
        "round": job.round,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "ended_at": moment(job.ended_at),
        "expires_at": moment(job.expires_at),
        "destination": spec.destination,
        "pin_digest": spec.pin_digest,
        "webhook": None if spec.webhook is None else {"url": spec.webhook},
        "metadata": spec.metadata,
        "idempotency_key": job.idempotency_key,
        "problem": job.problem,
        **({"owner": job.owner} if owner else {}),
        "links": {
            "self": f"/v1/jobs/{job.id}",
            "items": f"/v1/jobs/{job.id}/items",
            "events": f"/v1/jobs/{job.id}/events",
            "archive": f"/v1/jobs/{job.id}/archive",
        },
    }


def item_json(job: Job, item: Item) -> dict[str, Any]:
    """An item.

    Args:
        job: Its job.
        item: The item.

    Returns:
        Plain JSON values.
    """
    output = None
    if item.output is not None:
        output = {
            "name": item.output_name,
            "href": f"/v1/jobs/{job.id}/items/{item.n}/output",
            "url": None
            if job.spec.destination is None
            else f"{job.spec.destination.rstrip('/')}/{quote(item.output_name)}",
            **asdict(item.output),
        }
    return {
        "n": item.n,
        "name": item.name,
        "state": item.state.value,
        "attempts": item.attempts,
        "output": output,
        "problem": item.problem,
        "timings": item.timings,
        "started_at": moment(item.started_at),
        "ended_at": moment(item.ended_at),
    }


def moment(seconds: float | None) -> str | None:
    """A time as RFC 3339 writes it, in UTC to the millisecond.

    Args:
        seconds: Since 1970.
    """
    if seconds is None:
        return None
    shown = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")
