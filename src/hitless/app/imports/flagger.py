"""Flagger: `Canary`, with the `Deployment` it is about where that is in the files. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from hitless.app.imports.analysis import GUARDS
from hitless.app.imports.fields import Explained, Fields, duration, fitting_name
from hitless.app.imports.manifests import Manifests, key_of
from hitless.app.imports.outcome import Draft, Imported, Left, assembled
from hitless.app.imports.workload import UNKNOWN_VERSION, Workload, deployment_template, workload
from hitless.kit.errors import InvalidInput

DEFAULT_INTERVAL_S = 60.0
DEFAULT_MAX_WEIGHT = 100
STEPS_LIMIT = 100
TESTERS = "testers"  # the group of hitless.yaml that takes the place of a match on headers
_MESH = ("gateway", "traffic is split by the gateway of hitless, exactly and per user", "")
_PORTS = ("ports", "an instance gets its port when it starts, in PORT and at {port}", "")
_PODS = ("kubernetes-only", "it is about pods and their labels; hitless knows its instances by itself", "")
EXPLAINED: Explained = {
    "provider": _MESH,
    "gateways": _MESH,
    "gatewayRefs": _MESH,
    "ingressRef": _MESH,
    "trafficPolicy": _MESH,
    "apex": _MESH,
    "primary": _MESH,
    "canary": _MESH,
    "port": _PORTS,
    "portName": _PORTS,
    "portDiscovery": _PORTS,
    "targetPort": _PORTS,
    "name": _PODS,
    "namespace": _PODS,
    "annotations": _PODS,
    "labels": _PODS,
    "metadata": _PODS,
    "selector": _PODS,
    "imagePullPolicy": _PODS,
    "autoscalerRef": ("autoscaler", "the number of instances is changed by `hitless scale`, not by load", ""),
    "rewrite": ("rewrite", "a public route passes the path on unchanged", "let the service answer under its route"),
    "retries": ("retries", "the gateway retries idempotent requests by itself", ""),
    "threshold": ("threshold", "no number of failed checks decides, but `guards.alpha` over the whole run", GUARDS),
    "interval": ("interval", "users are counted every second", ""),
    "sessionAffinity": ("always-so", "a user always stays with the version that he met", ""),
    "mirror": ("step-mirror", "no request is sent twice", "send load to the new version in a `check`"),
    "mirrorWeight": ("step-mirror", "no request is sent twice", "send load to the new version in a `check`"),
    "alerts": ("alerts", "every fact of a run is a line of `hitless watch --json`", "send it on from there"),
    "stepWeightPromotion": ("promotion", "after the last step there is no second way to the old processes", ""),
    "primaryReadyThreshold": ("ready-threshold", "all instances of the new version must be ready", ""),
    "canaryReadyThreshold": ("ready-threshold", "all instances of the new version must be ready", ""),
}


def import_flagger(texts: Mapping[str, str], *, to: str | None = None) -> Imported:
    """Turn the Canaries of some files into one change.

    `texts` is file name -> text; `to` is the version to ship, which Flagger takes from the Deployment. Raises
    InvalidInput.
    """
    manifests = Manifests.read(texts)
    canaries = manifests.of_kind("Canary")
    if not canaries:
        raise manifests.nothing("Canary")
    drafts = tuple(_draft(canary, manifests, to) for canary in canaries)
    return assembled(manifests.unlike(drafts), tuple(manifests.rest(EXPLAINED)), origin="Flagger")


def _draft(canary: Fields, manifests: Manifests, to: str | None) -> Draft:
    spec = canary.inside("spec")
    target = spec.inside("targetRef")
    target.text("apiVersion")
    kind, deployment = target.text("kind"), target.text("name")
    name = fitting_name(deployment or canary.inside("metadata").text("name"), canary.origin)
    pods = _pods(dict(manifests.named(kind)).get(deployment))
    version, found = to or (pods.version if pods else None), list[Left]()
    if version is None:
        text = f"the version stands in {kind} {deployment}, which is in none of the files"
        found.append(_left(spec, "targetRef", "no-version", text, "write it at `to`, or name that file, or use --to"))
    strategy, groups, more = _analysis(spec, name)
    section = dict(pods.section) if pods else {"run": ["./run", "--port", "{port}"], "version": UNKNOWN_VERSION}
    section |= {"cwd": f"releases/{name}/{{version}}", **_service(spec, found)}
    left = (*found, *more, *(pods.left if pods else ()), *canary.left(EXPLAINED))
    change = {"to": version or UNKNOWN_VERSION, **strategy}
    return Draft(service=name, source=key_of(canary), change=change, section=section, groups=groups, left=left)


def _pods(deployment: Fields | None) -> Workload | None:
    if deployment is None:
        return None
    replicas = deployment.inside("spec").count("replicas", 1)
    return workload(deployment_template(deployment), replicas)


def _service(spec: Fields, found: list[Left]) -> dict[str, Any]:
    """Return where users reach the service, and how long it may take."""
    section: dict[str, Any] = {}
    if deadline := spec.seconds("progressDeadlineSeconds"):
        section["ready_timeout"] = duration(deadline)
    service = spec.inside("service")
    if timeout := service.seconds("timeout"):
        section["timeout"] = duration(timeout)
    hosts = [host for host in service.texts("hosts") if re.fullmatch(r"[a-z0-9.-]{1,253}", host)]
    prefixes = [match.inside("uri").text("prefix") for match in service.each("match") if "uri" in match]
    prefixes = [prefix for prefix in prefixes if re.fullmatch(r"/[A-Za-z0-9._~/-]{0,200}", prefix)]
    if hosts or prefixes:
        section["route"] = f"{hosts[0] if hosts else ''}{prefixes[0] if prefixes else '/'}"
    for key, taken, there in (
        ("hosts", hosts[:1], service.texts("hosts")),
        ("match", prefixes[:1], service.each("match")),
    ):
        if len(there) > len(taken):
            text = f"a service has one route, [host]/prefix; {section.get('route', 'none')} was taken"
            found.append(_left(service, key, "one-route", text))
    return section


def _analysis(spec: Fields, name: str) -> tuple[dict[str, Any], dict[str, Any], list[Left]]:
    """Return the keys of the change, the groups it needs, and what does not translate."""
    analysis = spec.inside("analysis" if "analysis" in spec else "canaryAnalysis")
    found: list[Left] = []
    groups: dict[str, Any] = {}
    interval_s = analysis.seconds("interval") or DEFAULT_INTERVAL_S
    iterations = analysis.count("iterations")
    if spec.flag("skipAnalysis"):
        change: dict[str, Any] = {"strategy": "canary", "steps": ["100%"], "evidence": "none"}
    elif iterations and "match" in analysis:
        analysis.take("match")
        group = f"{name}-{TESTERS}"
        groups[group] = {"users": []}
        text = f"users are chosen by headers; here they are the group {group}, which is still empty"
        hint = "say who they are in hitless.yaml: users, file or email"
        found.append(_left(analysis, "match", "ab-test", text, hint))
        change = {"strategy": "canary", "steps": [group, "100%"], "bake": duration(interval_s * iterations)}
    elif iterations:
        text = "Flagger looks before the switch, at load that it makes itself; hitless watches the users after it"
        found.append(_left(analysis, "iterations", "watched-after", text, "what must hold before: `check`"))
        change = {"strategy": "blue-green", "bake": duration(interval_s * iterations)}
    else:
        change = {"strategy": "canary", "steps": _steps(analysis), "bake": duration(interval_s)}
    found += (_metric(metric) for metric in analysis.each("metrics"))
    for webhook in analysis.each("webhooks"):
        found.append(_webhook(webhook, change))
    return change, groups, found


def _steps(analysis: Fields) -> list[str]:
    """Return the growing shares; Flagger goes from the last of them to everybody."""
    listed = [int(weight) for weight in analysis.texts("stepWeights") if weight.isdecimal()]
    step, most = analysis.count("stepWeight"), analysis.count("maxWeight", DEFAULT_MAX_WEIGHT)
    if not listed and step > 0:
        listed = list(range(step, most + 1, step))
    if len(listed) > STEPS_LIMIT or listed != sorted(set(listed)) or any(not 0 < each <= 100 for each in listed):
        where = analysis.at("stepWeights")
        raise InvalidInput("broken-manifest", f"{analysis.origin}: {where} must grow from above 0 to at most 100")
    return [*(f"{weight}%" for weight in listed if weight < 100), "100%"]


def _metric(metric: Fields) -> Left:
    """Name a metric with the numbers that decide in it."""
    name = metric.text("name")
    bounds = metric.inside("thresholdRange")
    rule = [f"{key} {bounds.take(key)}" for key in bounds.keys()]  # noqa: SIM118  a method of ours, no mapping
    rule += [f"{key} {metric.take(key)}" for key in ("threshold", "interval") if key in metric]
    template = metric.inside("templateRef").text("name") if "templateRef" in metric else ""
    what = f"{name or template} ({', '.join(rule)})"
    code = "metric-template" if template else "absolute-metric"
    return Left(code=code, where=f"{metric.origin}: {metric.path}", text=f"{what} is an absolute bound", hint=GUARDS)


def _webhook(webhook: Fields, change: dict[str, Any]) -> Left:
    """A command before the first user becomes the check; the others are named."""
    name, kind, url = webhook.text("name"), webhook.text("type", "rollout"), webhook.text("url")
    metadata = webhook.inside("metadata")
    command, shell = metadata.text("cmd"), metadata.text("type", "cmd")
    timeout_s = webhook.seconds("timeout")
    if kind == "pre-rollout" and command and "check" not in change:
        change["check"] = ["bash" if shell == "bash" else "sh", "-c", command]
        if timeout_s:
            change["check_timeout"] = duration(timeout_s)
        text = f"{name} became `check`; the address in it is one of Kubernetes"
        return _told(webhook, "check-address", text, "ask $HITLESS_CHECK_URL: the new version itself")
    text, hint = _WEBHOOKS.get(kind, ("hitless calls nobody", ""))
    return _told(webhook, f"webhook-{kind}", f"{name} calls {url}: {text}", hint)


_WEBHOOKS = {
    "pre-rollout": ("a service has one `check`", "put both into one program"),
    "rollout": ("no load is made; real users are counted", "python -m hitless.testing.load makes some"),
    "confirm-rollout": ("nobody is asked", "begin it by hand: hitless apply"),
    "confirm-traffic-increase": ("nobody is asked", "hitless hold, later hitless resume"),
    "confirm-promotion": ("nobody is asked", "hitless hold, later hitless resume"),
    "rollback": ("nobody is asked", "hitless abort"),
    "post-rollout": ("hitless calls nobody", "follow the run: hitless watch --json"),
    "event": ("hitless calls nobody", "follow the run: hitless watch --json"),
}


def _told(fields: Fields, code: str, text: str, hint: str) -> Left:
    return Left(code=code, where=f"{fields.origin}: {fields.path}", text=text, hint=hint)


def _left(fields: Fields, key: str, code: str, text: str, hint: str = "") -> Left:
    return Left(code=code, where=f"{fields.origin}: {fields.at(key)}", text=text, hint=hint)
