"""What several dashboards share: variables, matchers, marks."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Annotation, Variable

NAMESPACE: Final = 'namespace=~"$namespace"'
JOB: Final = 'job=~"$job"'
MODEL: Final = 'model=~"$model"'
TRITON_MODEL: Final = 'model=~"($model)(-mapping|-synthesis)?"'
"""Of a generator, Triton has two models."""

WINDOW: Final = "[$__rate_interval]"

NAMESPACE_VARIABLE: Final = Variable("namespace", "Namespace", "label_values(ganserve_build_info, namespace)")
JOB_VARIABLE: Final = Variable("job", "Process", f"label_values(ganserve_build_info{{{NAMESPACE}}}, job)")
MODEL_VARIABLE: Final = Variable(
    "model", "Model", f"label_values(ganserve_model_state{{{NAMESPACE}}}, model)"
)

ALERTS_MARK: Final = Annotation(
    "Alerts",
    "red",
    'ALERTS{alertstate="firing", alertname=~"Ganserve.*|Gantrain.*"}',
    "{{alertname}}",
    "{{severity}} {{model}} {{operation}} {{objective}}",
)
VERSIONS_MARK: Final = Annotation(
    "Model versions",
    "blue",
    f"max by (model, version) (ganserve_model_info{{{NAMESPACE}}}) unless "
    f"max by (model, version) (ganserve_model_info{{{NAMESPACE}}} offset 1m)",
    "{{model}} version {{version}}",
    "begins to serve",
)

UP_OR_DOWN: Final = {"0": ("down", "red"), "1": ("up", "green")}


def quantile(share: float, metric: str, matchers: str, *by: str) -> str:
    """A quantile of a histogram by some labels, in seconds.

    Args:
        share: Such as 0.95.
        metric: Without `_bucket`.
        matchers: Inside the braces.
        by: Labels to keep.
    """
    kept = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({kept}) (rate({metric}_bucket{{{matchers}}}{WINDOW})))"


def rate(metric: str, matchers: str, *by: str) -> str:
    """How often a second, by some labels."""
    kept = f" by ({', '.join(by)})" if by else ""
    return f"sum{kept} (rate({metric}{{{matchers}}}{WINDOW}))"


def mean(metric: str, matchers: str, *by: str) -> str:
    """The mean of a histogram's or summary's observations."""
    every = rate(f"{metric}_count", matchers, *by)
    return f"{rate(f'{metric}_sum', matchers, *by)} / ({every} > 0)"
