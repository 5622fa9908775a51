"""Every setting of the service, typed, in one place; each is an environment variable `GANSERVE_<NAME>`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.jobs.addresses import checked_entry
from service.jobs.storage_urls import read_url
from service.rates import checked_rate

OPEN_IN_WORDS: Final = "yes-serve-anyone"
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?|\*")


def _listed(value: Any) -> Any:
    """Lets a list be written with commas; JSON is read too."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _checked_origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("an origin is written as browsers send it, such as https://app.example.com, or is *")
    return origin


def _checked_prefix(url: str) -> str:
    read_url(url)
    return url


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_checked_origin)], ...], NoDecode, BeforeValidator(_listed)
]
HostsAndNetworks = Annotated[
    tuple[Annotated[str, AfterValidator(checked_entry)], ...], NoDecode, BeforeValidator(_listed)
]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_listed)]

Prefixes = Annotated[
    tuple[Annotated[str, AfterValidator(_checked_prefix)], ...], NoDecode, BeforeValidator(_listed)
]


class Settings(BaseSettings):
    """What an operator can set; the defaults serve the shipped models on one machine.

    Gateway and embedded Triton share this class, so that `ganserve up` can hand a child process
    exactly what it was given itself.
    """

    model_config = SettingsConfigDict(env_prefix="GANSERVE_", frozen=True)

    # The gateway
    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port the gateway listens on.")
    max_body_bytes: int = Field(1 << 20, gt=0, description="Largest request body accepted (413 beyond it).")
    max_head_bytes: int = Field(
        64 << 10, ge=1 << 10, description="Largest path and headers of a request together (431 beyond it)."
    )
    receive_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a request's headers may take to arrive, and then its body (408)."
    )
    send_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a client may read nothing of an answer that waits for it; its connection is"
        " closed then.",
    )
    max_connections: int = Field(
        500,
        gt=0,
        description="Connections at a time; calls on those beyond it get 503, except for health and metrics."
        " Each is a file descriptor (`ulimit -n`).",
    )
    max_images_per_request: int = Field(64, gt=0, description="Most images one generate call may ask for.")
    max_image_pixels: int = Field(
        16 << 20,
        gt=0,
        le=64 << 20,
        description="Most pixels of an image sent in, by its header (413 beyond it); decoding takes"
        " up to 20 bytes each. Frames of an animation up to the one asked for may have 8 times as many.",
    )
    max_image_frames: int = Field(
        1000,
        gt=0,
        le=10_000,
        description="Most frames or pages of an image file sent to the gateway (413 beyond it).",
    )
    max_upload_bytes: int = Field(
        32 << 20,
        gt=0,
        description="Largest body accepted of a call that takes an image file (413 beyond it).",
    )
    max_uploads_bytes: int = Field(
        512 << 20,
        gt=0,
        description="Most bytes of image files that translation and super-resolution hold at a time (503"
        " beyond it). A file counts from its first byte until it is answered, by its `Content-Length`.",
    )
    upload_timeout_seconds: float = Field(
        120.0, gt=0, description="How long a body with an image file may take to arrive (408)."
    )
    max_decodes: int = Field(
        4,
        gt=0,
        description="Images decoded at a time, each with the memory that `max_image_pixels` speaks of.",
    )
    max_output_pixels: int = Field(
        64_000_000,
        gt=0,
        description="Most pixels of an image that translation or super-resolution makes, and of all images"
        " of one generate or style-mix call together (422 beyond it).",
    )
    max_webp_pixels: int = Field(
        32_000_000,
        gt=0,
        description="The same for WebP, whose encoder holds all of an image in about 24 bytes a pixel; PNG"
        " and JPEG are written row by row.",
    )
    upscale_tile: int = Field(
        192,
        ge=32,
        description="Longest side, in input pixels, of the tiles that super-resolution is computed in. Larger"
        " ones overlap less and take more memory; of models that reach far they are larger by themselves.",
    )
    max_animation_frames: int = Field(600, gt=1, description="Most frames one interpolate call may ask for.")
    max_animation_pixels: int = Field(
        64 << 20, gt=0, description="Most pixels that all frames of an animation may have together."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="JSON lines, or coloured text to read."
    )

    drain_seconds: float = Field(
        1.0, ge=0, description="How long `/readyz` says 503 after SIGTERM before the port closes."
    )

    # Who may use the gateway
    keys_file: Path | None = Field(
        None, description="File of API keys (`ganserve keys create`); without it nobody needs one."
    )
    keys_reload_seconds: float = Field(
        1.0, gt=0, description="How often is looked whether that file changed."
    )
    allow_open: Literal["", "yes-serve-anyone"] = Field(
        "", description="Says in words that a gateway without keys may listen beyond this machine."
    )
    open_metrics: bool = Field(
        True, description="Whether `/metrics` asks for no key; otherwise it needs the scope admin."
    )
    studio: bool = Field(True, description="Whether `/` is the studio, the web page; otherwise it is a 404.")
    anonymous_rate: Annotated[str, AfterValidator(checked_rate)] | None = Field(
        None, description="Where there are no keys: how often one address may call, such as 100/minute (429)."
    )
    rate_limit_storage: SecretStr = Field(
        SecretStr("memory"), description="Where calls are counted: `memory`, or the URL of a Redis."
    )
    rate_limit_timeout_seconds: float = Field(
        0.25, gt=0, description="Longest wait for that Redis at one call."
    )
    rate_limit_fallback: Literal["local", "refuse"] = Field(
        "local",
        description="While that Redis is away: each gateway counts by itself, or all is refused (503).",
    )
    allowed_hosts: Names = Field(
        (),
        description="What `Host` may be (421 otherwise); `*.example.com` and `*` are read too. Left empty: "
        "this machine's own names where anybody may call over loopback, and else any.",
    )
    cors_origins: Origins = Field(
        (), description="Origins whose web pages may call, such as https://app.example.com, or `*`."
    )
    hsts_seconds: int = Field(
        0,
        ge=0,
        description="`Strict-Transport-Security: max-age`; only where HTTPS is all there is. 0: not sent.",
    )

    # How the gateway uses Triton
    triton_url: str = Field("127.0.0.1:8001", description="Triton's gRPC endpoint, host:port.")
    catalog_refresh_seconds: float = Field(
        1.0,
        gt=0,
        description="How often Triton is asked what it serves. A model reloaded in Triton itself, not by"
        " `…/load`, under its old version number, answers unchecked and under the old digest for that long.",
    )
    queue_limit: int = Field(
        64, gt=0, description="Images of one model admitted at a time, waiting and running; 503 beyond."
    )
    caller_queue_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest part of a model's queue for one API key while others want places in it.",
    )
    batch_share: float = Field(
        0.2,
        gt=0,
        le=0.9,
        description="Part of a model's work that is batch jobs while interactive calls wait as well.",
    )
    job_triton_seconds: float = Field(
        0.1,
        gt=0,
        description="How much work, in seconds, a worker of batch jobs keeps with Triton for one model: about"
        " what it makes an interactive call wait. At least two images or tiles, at most two batches.",
    )
    job_item_timeout_seconds: float = Field(
        3600.0, gt=0, description="How long a worker may take for one image of a batch job."
    )
    golden_check: Literal["strict", "close", "off"] = Field(
        "close",
        description="What a model has to show before it takes traffic: the very pixels of its card, pictures "
        "that look the same (other processors round otherwise), or nothing.",
    )
    golden_timeout_seconds: float = Field(
        30.0, gt=0, description="How long the check of one model may take; it is tried again."
    )
    load_timeout_seconds: float = Field(
        120.0, gt=0, description="How long Triton may take to load or unload a model when asked to."
    )
    breaker_failures: int = Field(
        3,
        gt=0,
        description="Calls of a model in a row that fail as if its process had died, after which it is out "
        "until a trial run succeeds.",
    )
    default_deadline_seconds: float = Field(
        30.0, gt=0, description="Deadline of a call that sends no `Prefer: wait=N` (504 beyond it)."
    )
    deadline_seconds_per_megapixel: float = Field(
        60.0,
        ge=0,
        description="What that deadline grows by for each megapixel of an image sent to translation or"
        " super-resolution, up to `max_deadline_seconds`. `photo-x4` takes 20 on two busy CPU cores.",
    )
    max_deadline_seconds: float = Field(600.0, gt=0, description="Longest `Prefer: wait=N` that is honoured.")
    max_message_bytes: int = Field(
        256 << 20, gt=0, description="Largest gRPC message exchanged with Triton, in bytes."
    )

    # Batch jobs
    state_folder: Path = Field(
        Path("~/.local/state/ganserve"),
        description="Folder for what outlives a restart where no database or storage is named below.",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="Where jobs are: `postgresql://USER:PASSWORD@HOST/NAME`, or `sqlite:///PATH` for gateway"
        " and workers on one machine. Left empty: `jobs.db` in the state folder.",
    )
    artifacts_url: str = Field(
        "",
        description="Where files of jobs are kept: `s3://BUCKET/PREFIX` (credentials and endpoint from the"
        " `AWS_…` variables) or `file:///FOLDER`. Left empty: `artifacts` in the state folder.",
    )
    max_job_items: int = Field(
        1_000_000, gt=0, le=100_000_000, description="Most items of one job (413 `too-many-items`)."
    )
    job_retention_seconds: float = Field(
        7 * 86_400.0, gt=0, description="How long a job that has ended is kept, its files included."
    )
    job_upload_grace_seconds: float = Field(
        600.0,
        ge=1,
        description="Files sent for a job are deleted when the gateway that received them has been silent for"
        " so long.",
    )
    job_max_attempts: int = Field(
        5, gt=0, description="How often an item may take its worker down before it is given up."
    )
    job_patience_seconds: float = Field(
        3600.0,
        gt=0,
        description="How long an item waits for Triton or for storage that is away or full before it fails.",
    )
    max_jobs: int = Field(
        100, gt=0, description="Most jobs of one API key that have not ended (429 `too-many-jobs`)."
    )
    max_job_watchers: int = Field(
        500, gt=0, description="Most event streams of jobs that a gateway keeps open (503)."
    )
    event_heartbeat_seconds: float = Field(
        15.0, gt=0, description="After so long without an event of a job a comment is sent instead."
    )
    worker_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Name of a worker that keeps it when it is restarted, and then takes up at once what it"
        " left; never two of the same. Left empty: a new one at each start.",
    )
    worker_concurrency: int = Field(
        4,
        gt=0,
        le=1024,
        description="Items a worker computes at a time, while it reads and stores up to twice as many others;"
        " the same for all workers.",
    )
    worker_lease_seconds: float = Field(
        15.0,
        ge=1,
        description="After so long without a word a worker is taken for lost, and others do what it left.",
    )
    housekeeping_seconds: float = Field(
        60.0, gt=0, description="How often workers look for jobs and files whose time is over."
    )

    # Files of batch jobs
    job_inputs: Prefixes = Field(
        (),
        description="Where jobs may read: `file:///FOLDER` and `s3://BUCKET/PREFIX`, and all below. Left"
        " empty: only what is sent with the request.",
    )
    job_outputs: Prefixes = Field(
        (), description="Where jobs may write besides their artifacts, in the same form."
    )
    storage_timeout_seconds: float = Field(
        30.0,
        gt=0,
        description="Longest wait for one answer of S3, also while 8 MiB go up; it is asked three times.",
    )
    max_job_files: int = Field(
        10_000, gt=0, le=1_000_000, description="Most files that come with the request for a job (413)."
    )
    max_job_upload_bytes: int = Field(
        8 << 30,
        gt=0,
        description="Largest request for a job with its files (413); each image file has"
        " `max_upload_bytes`, a zip archive has no limit of its own.",
    )
    job_upload_timeout_seconds: float = Field(
        3600.0,
        gt=0,
        description="How long such a request may take to arrive (408); nothing may come of it for"
        " `receive_timeout_seconds` at most.",
    )

    # Provenance
    c2pa_certificate: Path | None = Field(
        None, description="PEM file: the certificate files are signed with, then its issuers. Off without."
    )
    c2pa_key: Path | None = Field(None, description="PEM file: the private key of that certificate.")
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        "es256", description="Signature algorithm that fits the key."
    )
    c2pa_sign: Literal["on-request", "always"] = Field(
        "on-request", description="Which answers of `POST` calls are signed: those with `sign: true`, or all."
    )
    c2pa_tsa_url: str | None = Field(
        None, description="Timestamp authority (RFC 3161) asked at every signature; none if left out."
    )
    c2pa_trust_anchors: Path | None = Field(
        None, description="PEM file: authorities whose signatures `/v1/verify` accepts as proof."
    )
    verify_limit: int = Field(
        16, gt=0, description="Files that `/v1/verify` looks at or keeps waiting at a time; 503 beyond."
    )
    verify_timeout_seconds: float = Field(
        10.0, gt=0, description="How long `/v1/verify` may take to read a C2PA manifest."
    )

    # Workers of batch jobs
    worker_port: int = Field(
        8081,
        ge=0,
        le=65535,
        description="Port on which a worker answers `/healthz`, `/readyz` and `/metrics`, at the gateway's"
        " address and without keys; 0: none. Workers on one machine need different ones.",
    )

    # Webhooks of batch jobs
    webhook_allow: HostsAndNetworks = Field(
        (),
        description="Hosts (`hooks.example.com`, `*.example.com`), addresses and networks (`10.0.0.0/8`) that"
        " webhooks may go to although they are not public, by http too and to any port.",
    )
    webhook_ports: Ports = Field((443,), description="Ports that webhooks may go to at all other hosts.")
    webhook_secret: SecretStr | None = Field(
        None,
        description="Signs the webhooks of jobs that bring no secret: `whsec_` and 24 to 64 bytes in Base64;"
        " several, separated by spaces, all sign.",
    )
    webhook_ca: Path | None = Field(
        None, description="PEM file: certificate authorities believed besides the public ones."
    )
    webhook_timeout_seconds: float = Field(
        15.0, gt=0, description="How long one attempt to deliver a webhook may take, its answer included."
    )
    webhook_attempts: int = Field(
        9,
        gt=0,
        le=100,
        description="How often a webhook is sent until it is given up: after 5 s, 5 and 30 minutes, 2, 5, 10,"
        " 14 and 20 hours, then every 24 hours.",
    )

    # The embedded Triton and its supervisor (`ganserve up`)
    model_repository: Path = Field(Path("model_repository"), description="Folder of models Triton serves.")
    triton_grpc_port: int = Field(
        8001, ge=1, le=65535, description="Port of the embedded Triton's gRPC endpoint."
    )
    triton_http_port: int = Field(
        8000, ge=1, le=65535, description="Port of the embedded Triton's HTTP endpoint."
    )
    triton_metrics_port: int = Field(
        8002, ge=1, le=65535, description="Port of the embedded Triton's metrics."
    )
    triton_host: str = Field(
        "127.0.0.1",
        description="Address that the Triton of `ganserve triton` listens on. It asks nobody who they are:"
        " let gateways and workers alone reach it. `ganserve up` keeps its own to this machine.",
    )
    run_worker: bool = Field(True, description="Whether `ganserve up` runs a worker for batch jobs as well.")
    start_timeout_seconds: float = Field(120.0, gt=0, description="How long a start may take until ready.")
    stop_timeout_seconds: float = Field(
        40.0,
        gt=0,
        description="How long a process may take to stop by itself before it is killed: the gateway to finish"
        " what is in flight (503 `shutting-down` for what takes longer), then Triton. More than"
        " `drain_seconds` and the longest deadline that is to be kept together.",
    )
    restart_limit: int = Field(
        5, ge=0, description="Crashes of Triton within the restart window that are answered by a restart."
    )
    restart_window_seconds: float = Field(300.0, gt=0, description="The window in which crashes are counted.")
