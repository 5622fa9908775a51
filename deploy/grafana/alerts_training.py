"""Alerts about training runs."""

from __future__ import annotations

from deploy.grafana.alert import Alert, Case
from deploy.grafana.jobs_scraped import TRAINING

TRAINING_BOARD = "gantrain"

_RUN = 'run="emoji", namespace="gan"'
_FOUND = {"run": "emoji", "namespace": "gan"}

TRAINING_ALERTS = (
    Alert(
        "GantrainStalled",
        "ticket",
        "sum by (namespace, run) (rate(gantrain_images_total[15m]))",
        "== 0",
        "15m",
        "The run {{ $labels.run }} makes no progress",
        "The process is there and answers, and has shown D no image for half an hour.",
        (
            "Evaluating or writing a checkpoint takes minutes, not half an hour; its log says what it does.",
            "Waiting for data (panel `waiting for data`): the disk or the network share of the dataset.",
            "Several GPUs: one rank died and the others wait for it. End the job; it resumes from the last "
            "checkpoint, bit for bit.",
        ),
        TRAINING_BOARD,
        (
            Case(
                {f"gantrain_images_total{{{_RUN}}}": "0+64x10 640+0x50"}, at="50m", labels=_FOUND, value="0"
            ),
            Case({f"gantrain_images_total{{{_RUN}}}": "0+64x60"}, at="50m"),
        ),
    ),
    Alert(
        "GantrainNonFinite",
        "ticket",
        "sum by (namespace, run) (increase(gantrain_nonfinite_steps_total[15m]))",
        "> 5",
        "0m",
        "{{ $value | humanize }} steps of {{ $labels.run }} had gradients that are no numbers",
        "A few are skipped and do no harm. Many mean that the run has diverged: it learns nothing any more.",
        (
            "Look at losses and learning rates before it began.",
            "Resume from a checkpoint before that with half the learning rate, or without half precision.",
        ),
        TRAINING_BOARD,
        (
            Case({f"gantrain_nonfinite_steps_total{{{_RUN}}}": "0+2x40"}, labels=_FOUND, value="30"),
            Case({f"gantrain_nonfinite_steps_total{{{_RUN}}}": "0+0x20 1+0x20"}),
        ),
    ),
    Alert(
        "GantrainCheckpointOld",
        "ticket",
        "max by (namespace, run) (time() - gantrain_checkpoint_timestamp_seconds)",
        "> 3 * 3600",
        "15m",
        "The last checkpoint of {{ $labels.run }} is {{ $value | humanizeDuration }} old",
        "If the run ended now, that much work would be lost.",
        (
            "Is the disk full? The run's log says so.",
            "Else the run is slower than its checkpoint interval was made for: shorten that.",
        ),
        TRAINING_BOARD,
        (
            Case({f"gantrain_checkpoint_timestamp_seconds{{{_RUN}}}": "0+0x300"}, "4h", _FOUND, "4h 0m 0s"),
            Case({f"gantrain_checkpoint_timestamp_seconds{{{_RUN}}}": "0+60x300"}, "4h"),
        ),
    ),
    Alert(
        "GantrainStarved",
        "ticket",
        "sum by (namespace, run) (rate(gantrain_data_wait_seconds_total[15m])) / "
        "(sum by (namespace, run) (rate(gantrain_step_seconds_sum[15m])) > 0)",
        "> 0.3",
        "30m",
        "{{ $labels.run }} spends {{ $value | humanizePercentage }} of its time waiting for data",
        "The GPU idles meanwhile; what the run costs grows by as much.",
        (
            "More loader workers, if there are cores left.",
            "Put the dataset on a local disk, or into memory.",
        ),
        TRAINING_BOARD,
        (
            Case(
                {
                    f"gantrain_data_wait_seconds_total{{{_RUN}}}": "0+30x60",
                    f"gantrain_step_seconds_sum{{{_RUN}}}": "0+60x60",
                },
                "55m",
                _FOUND,
                "50%",
            ),
            Case(
                {
                    f"gantrain_data_wait_seconds_total{{{_RUN}}}": "0+3x60",
                    f"gantrain_step_seconds_sum{{{_RUN}}}": "0+60x60",
                },
                "55m",
            ),
        ),
    ),
    Alert(
        "GantrainOverfits",
        "ticket",
        "max by (namespace, run) (gantrain_ada_probability)",
        "> 0.8",
        "1h",
        "D of {{ $labels.run }} overfits: augmentation is at {{ $value | humanize }}",
        "Adaptive augmentation is as strong as it helps to be; from here on images get worse, not better.",
        (
            "Compare the evaluated metrics: if they no longer fall, stop, and export the best checkpoint.",
            "More images help most; else mirror them, a smaller network, or a stronger γ (R1).",
        ),
        TRAINING_BOARD,
        (
            Case({f"gantrain_ada_probability{{{_RUN}}}": "0.9+0x100"}, "90m", _FOUND, "900m"),
            Case({f"gantrain_ada_probability{{{_RUN}}}": "0.4+0x100"}, "90m"),
        ),
    ),
    Alert(
        "GantrainDown",
        "ticket",
        f'(up{{job="{TRAINING}"}} or vector(1))',
        "== 0",
        "5m",
        "The trainer on {{ $labels.instance }} is not scraped any more",
        "It has ended, been killed, or cannot be reached. A target that was taken away is no alert.",
        (
            "It ended as it should: take it out of the targets (in Kubernetes that is done when the pod is "
            "gone).",
            "Killed: the Job starts it anew and it resumes from its last checkpoint; see that it does.",
        ),
        TRAINING_BOARD,
        (
            Case(
                {f'up{{job="{TRAINING}", instance="t:1"}}': "1+0x5 0+0x40"},
                labels={"job": TRAINING, "instance": "t:1"},
                value="0",
            ),
            Case({f'up{{job="{TRAINING}", instance="t:1"}}': "1+0x40"}),
        ),
        expression=f'up{{job="{TRAINING}"}} == 0',
    ),
)
