"""The `ganserve` command.

Everything heavy is imported inside the command that needs it: `--help` is instant, and the client commands
run with the base dependencies alone.
"""

import typer

from service.cli import (
    animate,
    generate,
    health,
    jobs,
    keys,
    mix,
    models,
    repository,
    serving,
    uploads,
    verify,
)
from service.cli.batch_jobs import commands as batch_jobs

app = typer.Typer(
    name="ganserve",
    help="Serve image GANs with Triton Inference Server, and ask a running server for images: the one at "
    "GANSERVE_URL, with the key in GANSERVE_API_KEY where it wants one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _examples(*lines: str) -> str:
    title = "Example" if len(lines) == 1 else "Examples"
    return "\n\n".join((f"[bold]{title}[/bold]", *(f"  {line}" for line in lines)))


_SERVER = "Servers"
_IMAGES = "Images"
_MODELS = "Models"
_JOBS = "Batch jobs"

app.command(
    rich_help_panel=_SERVER,
    epilog=_examples(
        "ganserve up", "ganserve up --models /srv/models --host 0.0.0.0 --port 9000 --keys-file keys.json"
    )
    + "\n\nEvery other setting is an environment variable, such as GANSERVE_QUEUE_LIMIT=128.",
)(serving.up)
app.command(
    rich_help_panel=_SERVER,
    epilog=_examples(
        "GANSERVE_HOST=0.0.0.0 GANSERVE_KEYS_FILE=/etc/ganserve/keys.json "
        "GANSERVE_TRITON_URL=triton:8001 ganserve gateway"
    ),
)(serving.gateway)
app.command(
    rich_help_panel=_SERVER,
    epilog=_examples(
        "GANSERVE_DATABASE_URL=postgresql://ganserve@db/jobs GANSERVE_ARTIFACTS_URL=s3://bucket/jobs "
        "GANSERVE_TRITON_URL=triton:8001 ganserve worker",
        "GANSERVE_WORKER_CONCURRENCY=16 GANSERVE_WORKER_PORT=8090 ganserve worker",
    ),
)(serving.worker)
app.command(
    rich_help_panel=_SERVER,
    epilog=_examples("ganserve triton --models /srv/models --host 0.0.0.0"),
)(serving.triton)
app.command(
    rich_help_panel=_SERVER,
    epilog=_examples("GANSERVE_DATABASE_URL=postgresql://owner@db/jobs ganserve migrate"),
)(serving.migrate)
app.command(
    rich_help_panel=_SERVER,
    epilog=_examples("ganserve health", "ganserve health worker --ready"),
)(health.health)
app.add_typer(keys.app, name="keys", rich_help_panel=_SERVER)
app.add_typer(repository.app, name="repository", rich_help_panel=_MODELS)

app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve generate --model terrain --seeds 0-15 --out images",
        "ganserve generate --model terrain --seeds 0-63 --out images --sheet --captions",
        "ganserve generate --model terrain --seeds 3,7,40-44 --truncation 0.7 --noise none --out images",
        "ganserve generate --model emoji --label Objects --seeds 0-15 --out images",
        "ganserve generate --model terrain --seeds 7 --edit direction-01=2.5 --out images",
        "ganserve generate --model terrain --seeds 0-3 --save-ws styles.npy --out images",
        "ganserve generate --model terrain --ws styles.npy --out again",
    ),
)(generate.generate)
app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve interpolate --model terrain --keyframes 1,5,9 --frames 120 --loop --out walk.webp",
        "ganserve interpolate --model terrain --keyframes 1,5 --easing ease-in-out --out walk.gif",
        "ganserve interpolate --model terrain --keyframes 1,5 --frames 8 --sheet --out strip.png",
        "ganserve interpolate --model terrain --keyframes 1,5 --frames 600 --out frames",
    ),
)(animate.interpolate)
app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve mix --model terrain --rows 1-4 --columns 10-13 --layers fine --out grid.png",
        "ganserve mix --model terrain --rows 1-4 --columns 10-13 --layers coarse,3 --out mixed",
    ),
)(mix.mix)
app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve translate drawing.png --model sketch-to-emoji --fit pad --out emoji",
        "ganserve translate drawings --recursive --model sketch-to-emoji --fit pad --jobs 4 --out emoji",
    ),
)(uploads.translate)
app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve upscale photo.jpg --model photo-x4 --out large",
        "ganserve upscale 'photos/**/*.jpg' --model photo-x4 --scale 2.5 --format webp --out large",
    ),
)(uploads.upscale)

app.add_typer(batch_jobs.app, name="batch", rich_help_panel=_JOBS)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_JOBS)

app.command(
    rich_help_panel=_IMAGES,
    epilog=_examples(
        "ganserve verify image.png",
        "ganserve verify *.png --reproduce",
        "ganserve verify emoji.png --source drawing.png",
    ),
)(verify.verify)

app.command(
    "models",
    rich_help_panel=_MODELS,
    epilog=_examples("ganserve models", "ganserve models terrain", "ganserve models --json | jq '.[].name'"),
)(models.list_models)
app.command(rich_help_panel=_MODELS, epilog=_examples("ganserve load terrain"))(models.load)
app.command(rich_help_panel=_MODELS, epilog=_examples("ganserve unload terrain"))(models.unload)
