"""`gantrain project`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.terminal import clear_errors, console


def project(
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", help="A generator: name in the repository, folder of a run, or a file of weights."
        ),
    ],
    space: Annotated[
        Literal["w", "w+"],
        typer.Option(help="One w for all layers, or one for each, which comes nearer to the picture."),
    ] = "w+",
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", min=1)] = 500,
    learning_rate: Annotated[float, typer.Option(help="Of the optimiser, at its highest.", min=1e-6)] = 0.2,
    seed: Annotated[int, typer.Option(help="Of all random numbers.", min=0, max=2**63 - 1)] = 0,
    label: Annotated[
        str | None, typer.Option(help="Class, by name or number, whose mean the search begins at.")
    ] = None,
    noise: Annotated[
        bool,
        typer.Option(
            "--noise/--no-noise",
            help="Adapt the noise too. The gateway serves the model's constant noise, so this picture is not "
            "served; the noise is written to noise.npz.",
        ),
    ] = False,
    resolution: Annotated[
        Literal["fit", "exact"],
        typer.Option(help="Crop to a square and resize as `gantrain prepare` does, or refuse other sizes."),
    ] = "fit",
    perceptual: Annotated[
        Literal["auto", "vgg19", "efficientnet", "none"],
        typer.Option(help="What images are compared by beside pixels; auto is VGG-19 where it is found."),
    ] = "auto",
    vgg19: Annotated[
        Path | None,
        typer.Option("--vgg19", help="File of VGG-19's weights, as torchvision's.", envvar="GANTRAIN_VGG19"),
    ] = None,
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the result; projections/<image> if not given.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda or cuda:N; a GPU is taken if there is one.")
    ] = None,
) -> None:
    """Find the styles of which a generator makes a picture; Ctrl-C stops with the best so far.

    Examples: gantrain project cliff.jpg --model terrain   (writes projections/cliff/)
    · gantrain project drawings/ --model runs/emoji --label Symbols --steps 1000
    """
    with clear_errors():
        from training.engine import Engine
        from training.projection.files import find_pictures
        from training.projection.pictures import choose_distance, project_pictures
        from training.projection.progress import report, searching
        from training.projection.projectable import open_projectable
        from training.projection.search import Settings

        on = Engine(0, device=device).device
        pictures = find_pictures(images)
        generator = open_projectable(model, repository, on)
        if vgg19 is not None and perceptual == "auto":
            perceptual = "vgg19"
        distance = choose_distance(perceptual, vgg19, on)
        compared = "pixels alone" if distance is None else distance.name
        console.print(
            f"{generator.name} of {generator.origin}; compared by {compared}", highlight=False, soft_wrap=True
        )
        folder = out or Path("projections") / (pictures[0].stem if len(pictures) == 1 else "")
        with searching(console, steps) as progress:
            done = project_pictures(
                pictures,
                generator,
                distance,
                Settings(space, steps, seed, learning_rate, optimize_noise=noise),
                folder,
                label=label,
                resolution=resolution,
                progress=progress,
            )
    report(console, done, len(pictures))
