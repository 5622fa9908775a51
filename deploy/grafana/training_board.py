"""The dashboard `Training`: how far runs are, how fast, whether they learn, and what they lack."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import PLAIN, Dashboard, Panel, Query, Row, Variable
from deploy.grafana.parts import ALERTS_MARK, NAMESPACE, WINDOW, quantile, rate

_RUN: Final = f'{NAMESPACE}, run=~"$run"'

_PROGRESS: Final = Row(
    "Progress",
    [
        Panel(
            "table",
            "Runs",
            "What trains, started from which preset, by which version.",
            "short",
            [Query(f"max by (run, family, preset, version) (gantrain_info{{{_RUN}}})", table=True)],
            height=7,
            join="run",
            columns={"run": "Run", "family": "Family", "preset": "Preset", "version": "Version"},
        ),
        Panel(
            "bargauge",
            "Done",
            "Images shown to D, of those that the run is to show.",
            "percentunit",
            [
                Query(
                    f"sum by (run) (gantrain_images_total{{{_RUN}}}) / "
                    f"sum by (run) (gantrain_target_images{{{_RUN}}})",
                    "{{run}}",
                )
            ],
            height=7,
            thresholds=PLAIN,
            maximum=1,
        ),
        Panel(
            "stat",
            "Time left",
            "At the pace of the last line of the run log.",
            "s",
            [
                Query(
                    f"sum by (run) (gantrain_target_images{{{_RUN}}} - gantrain_images_total{{{_RUN}}}) / "
                    f"(sum by (run) (gantrain_images_per_second{{{_RUN}}}) > 0)",
                    "{{run}}",
                )
            ],
            width=4,
            height=7,
            thresholds=PLAIN,
        ),
        Panel(
            "stat",
            "Last checkpoint",
            "How long ago; what was done since would be lost.",
            "s",
            [Query(f"time() - max by (run) (gantrain_checkpoint_timestamp_seconds{{{_RUN}}})", "{{run}}")],
            width=4,
            height=7,
            thresholds=((None, "green"), (3600, "orange"), (3 * 3600, "red")),
        ),
        Panel(
            "timeseries",
            "Images shown",
            "In thousands of images (kimg), since the run began; a run that resumes goes on where it was.",
            "short",
            [Query(f"sum by (run) (gantrain_images_total{{{_RUN}}}) / 1000", "{{run}} kimg")],
        ),
        Panel(
            "timeseries",
            "Pace",
            "Images a second: as the run log has it, and by the counter, evaluations and checkpoints "
            "included.",
            "ops",
            [
                Query(f"sum by (run) (gantrain_images_per_second{{{_RUN}}})", "{{run}}"),
                Query(rate("gantrain_images_total", _RUN, "run"), "{{run}} all in all"),
            ],
        ),
        Panel(
            "timeseries",
            "How long a step takes",
            "Waiting for its data included, checkpoints left out.",
            "s",
            [
                Query(quantile(0.5, "gantrain_step_seconds", _RUN, "run"), "{{run}} p50"),
                Query(quantile(0.99, "gantrain_step_seconds", _RUN, "run"), "{{run}} p99"),
            ],
        ),
    ],
)

_LEARNING: Final = Row(
    "Learning",
    [
        Panel(
            "timeseries",
            "Losses",
            "Means since the line of the run log before. They say that a run is alive, not that it is good.",
            "short",
            [Query(f"gantrain_loss{{{_RUN}}}", "{{run}} {{name}}")],
            width=12,
            minimum=None,
        ),
        Panel(
            "timeseries",
            "KID",
            "Of the last `gantrain evaluate`: lower is better; `kid_real` is what real images reach, "
            "`kid_untrained` where a run begins.",
            "short",
            [
                Query(
                    f'gantrain_metric{{{_RUN}, name=~"kid|kid_real|kid_untrained"}}',
                    "{{run}} {{model}} {{name}}",
                )
            ],
            width=6,
            minimum=None,
            decimals=4,
        ),
        Panel(
            "timeseries",
            "Other metrics",
            "All else that the last `gantrain evaluate` found: FID falls when images get better, PSNR, "
            "precision and recall rise.",
            "short",
            [Query(f'gantrain_metric{{{_RUN}, name!~"kid.*"}}', "{{run}} {{model}} {{name}}")],
            width=6,
            minimum=None,
        ),
        Panel(
            "timeseries",
            "Augmentation",
            "Probability of adaptive augmentation. It rises while D overfits; above 0.8 the dataset is too "
            "small.",
            "percentunit",
            [Query(f"gantrain_ada_probability{{{_RUN}}}", "{{run}}")],
            thresholds=((None, "green"), (0.8, "red")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "timeseries",
            "Learning rates",
            "By network; warm-up and decay show here.",
            "sci",
            [Query(f"gantrain_learning_rate{{{_RUN}}}", "{{run}} {{network}}")],
        ),
        Panel(
            "timeseries",
            "Steps with gradients that are no numbers",
            "Skipped. A few do no harm; many mean that the run has diverged.",
            "short",
            [Query(f"sum by (run) (increase(gantrain_nonfinite_steps_total{{{_RUN}}}{WINDOW}))", "{{run}}")],
            thresholds=((None, "green"), (5, "red")),
            lines=True,
        ),
    ],
)

_MEANS: Final = Row(
    "What it runs on",
    [
        Panel(
            "timeseries",
            "Waiting for data",
            "Share of a step's time. The GPU idles meanwhile.",
            "percentunit",
            [
                Query(
                    f"{rate('gantrain_data_wait_seconds_total', _RUN, 'run')} / "
                    f"({rate('gantrain_step_seconds_sum', _RUN, 'run')} > 0)",
                    "{{run}}",
                )
            ],
            width=12,
            thresholds=((None, "green"), (0.3, "red")),
            lines=True,
            maximum=1,
        ),
        Panel(
            "timeseries",
            "GPU memory",
            "That PyTorch holds in the run's process.",
            "bytes",
            [Query(f"gantrain_gpu_memory_bytes{{{_RUN}}}", "{{run}}")],
            width=12,
        ),
    ],
)

TRAINING: Final = Dashboard(
    "gantrain",
    "ganserve: Training",
    "How far runs are and how fast, whether they learn, and what they lack.",
    [
        Variable("namespace", "Namespace", "label_values(gantrain_info, namespace)"),
        Variable("run", "Run", f"label_values(gantrain_info{{{NAMESPACE}}}, run)"),
    ],
    [_PROGRESS, _LEARNING, _MEANS],
    [ALERTS_MARK],
    since="now-24h",
)
