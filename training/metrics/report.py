"""Metrics as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from training.metrics.kid import KID
from training.metrics.results import (
    GeneratorMetrics,
    PairScores,
    RunMetrics,
    TranslatorMetrics,
    UpscalerMetrics,
    UpscalingScores,
)


def print_metrics(metrics: RunMetrics, console: Console) -> None:
    """Prints every model's metrics, each with the sentence that says how they were made."""
    for name, model in metrics.models.items():
        if isinstance(model, GeneratorMetrics):
            _print_generator(name, model, console)
        elif isinstance(model, TranslatorMetrics):
            _print_translator(name, model, console)
        else:
            _print_upscaler(name, model, console)


def _print_generator(name: str, m: GeneratorMetrics, console: Console) -> None:
    table = Table("against held-out images", "KID", "±", "FID", "precision", "recall")
    table.add_row("training images", *_kid(m.kid_real), f"{m.fid_real:.2f}")
    table.add_row(name, *_kid(m.kid), f"{m.fid:.2f}", f"{m.precision:.3f}", f"{m.recall:.3f}")
    table.add_row("untrained", *_kid(m.kid_untrained), f"{m.fid_untrained:.2f}")
    console.print(table)
    c, p = m.memorization, m.path_length
    console.print(
        f"nearest training image: {c.generated:.2f} for generated and {c.held_out:.2f} for held-out images, "
        f"ratio {c.ratio:.2f}; {c.suspicious:.1%} nearer than 99% of the held-out images are"
    )
    console.print(f"path length: {p.full:.1f} full, {p.end:.1f} end ({p.steps} steps; {p.distance})")
    console.print(f"{m.features}; {m.protocol}")


def _print_translator(name: str, m: TranslatorMetrics, console: Console) -> None:
    table = Table("against held-out targets", "PSNR dB", "SSIM", "L1", "feature distance", "KID", "±")
    rows: list[tuple[str, PairScores | None, KID | None]] = [
        (name, m.scores, m.kid),
        ("the input itself", m.scores_copy, m.kid_copy),
        ("best constant colour", m.scores_constant, None),
        ("mean training colour", m.scores_training_mean, None),
    ]
    for label, s, kid in rows:
        if s is None and kid is None:
            continue
        cells = (
            ["–"] * 4
            if s is None
            else [f"{s.psnr:.2f}", f"{s.ssim:.3f}", f"{s.l1:.2f}", f"{s.feature_distance:.4f}"]
        )
        table.add_row(label, *cells, *([] if kid is None else _kid(kid)))
    console.print(table)
    console.print(f"{m.features}; {m.feature_distance}; {m.protocol}")


def _print_upscaler(name: str, m: UpscalerMetrics, console: Console) -> None:
    table = Table(f"×{m.scale}", "PSNR Y dB", "SSIM Y", "PSNR RGB dB", "SSIM RGB", "feature distance")
    rows: dict[str, UpscalingScores] = {name: m.scores, **m.scores_against, "bicubic": m.scores_bicubic}
    for label, s in rows.items():
        table.add_row(
            label,
            f"{s.psnr_y:.2f}",
            f"{s.ssim_y:.4f}",
            f"{s.psnr_rgb:.2f}",
            f"{s.ssim_rgb:.4f}",
            f"{s.feature_distance:.4f}",
        )
    console.print(table)
    console.print(f"{m.feature_distance}; {m.protocol}")


def _kid(value: KID) -> tuple[str, str]:
    return f"{value.mean:.4f}", f"{value.std:.4f}"
