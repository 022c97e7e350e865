"""Argo's AnalysisTemplates: what a metric asks, and what answers that question here. Pure."""

from collections.abc import Iterator, Mapping

from hitless.app.imports.fields import Fields
from hitless.app.imports.outcome import Left

GUARDS = (
    "the guards compare errors and latency of the new version with the old one at the same time; see docs/guards.md"
)
PROVIDERS = (
    "prometheus",
    "datadog",
    "newRelic",
    "wavefront",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
    "kayenta",
    "plugin",
    "web",
    "job",
)

Templates = Mapping[str, Fields]


def of_reference(reference: Fields, templates: Templates, *, before_users: bool) -> Iterator[Left]:
    """Tell what becomes of one analysis: a step of its own, one in the background, or one before the first user."""
    for each in reference.each("templates"):
        name = each.text("templateName")
        each.flag("clusterScope")
        if name not in templates:
            where = f"{each.origin}: {each.path}"
            yield Left(code="template-missing", where=where, text=f"AnalysisTemplate {name} is in none of the files")
            continue
        for metric in templates[name].inside("spec").each("metrics"):
            yield _metric(name, metric, before_users=before_users)


def check_of(reference: Fields, templates: Templates) -> list[str] | None:
    """Return the command of the one job that an analysis before the first user consists of; None if it is not one."""
    names = [each.text("templateName") for each in reference.each("templates")]
    metrics = [
        metric for name in names if name in templates for metric in templates[name].inside("spec").each("metrics")
    ]
    jobs = [metric.inside("provider").inside("job") for metric in metrics if "job" in metric.inside("provider")]
    if len(jobs) != 1 or len(metrics) != 1:
        return None
    containers = jobs[0].inside("spec").inside("template").inside("spec").each("containers")
    words = [*containers[0].texts("command"), *containers[0].texts("args")] if containers else []
    return words or None


def _metric(template: str, metric: Fields, *, before_users: bool) -> Left:
    """Name a metric with the numbers that decide in it."""
    name = metric.text("name")
    asked = metric.inside("provider")
    provider = next((each for each in PROVIDERS if each in asked), "unknown")
    asked.take(provider)
    rule = ", ".join(
        f"{key} {metric.take(key)}"
        for key in ("successCondition", "failureCondition", "failureLimit", "count", "interval")
        if key in metric
    )
    where = f"{metric.origin}: {metric.path}"
    text = f"{template}.{name} asks {provider}" + (f" ({rule})" if rule else "")
    if provider in ("job", "web"):
        hint = "it became `check`" if before_users and provider == "job" else "write it as a `check` of the service"
        return Left(code=f"{provider}-metric", where=where, text=text, hint=hint)
    return Left(code="absolute-metric", where=where, text=text, hint=GUARDS)
