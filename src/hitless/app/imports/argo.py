"""Argo Rollouts: `Rollout`, with the analysis templates and the `Deployment` it refers to. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from hitless.app.imports.analysis import Templates, check_of, of_reference
from hitless.app.imports.fields import Explained, Fields, duration, fitting_name
from hitless.app.imports.manifests import Manifests, key_of
from hitless.app.imports.outcome import Draft, Imported, Left, assembled
from hitless.app.imports.workload import UNKNOWN_VERSION, deployment_template, workload
from hitless.kit.errors import InvalidInput

DEFAULT_SCALE_DOWN_S = 30.0  # how long Argo keeps the old pods after a switch
_PODS = ("kubernetes-only", "it is about pods and their labels; hitless knows its instances by itself", "")
_ROUTES = ("gateway", "traffic is split by the gateway of hitless, exactly and per user", "")
EXPLAINED: Explained = {
    "selector": _PODS,
    "metadata": _PODS,
    "labels": _PODS,
    "annotations": _PODS,
    "namespace": _PODS,
    "imagePullPolicy": _PODS,
    "canaryMetadata": _PODS,
    "stableMetadata": _PODS,
    "activeMetadata": _PODS,
    "previewMetadata": _PODS,
    "antiAffinity": _PODS,
    "canaryService": _ROUTES,
    "stableService": _ROUTES,
    "activeService": _ROUTES,
    "previewService": ("preview", "nobody reaches the new version before its first step", "look at it with a `check`"),
    "trafficRouting": _ROUTES,
    "revisionHistoryLimit": ("history", "the journal keeps every run; old releases stay in their folders", ""),
    "maxSurge": ("surge", "rolling replaces one instance after the other, the new one first", ""),
    "maxUnavailable": ("surge", "rolling replaces one instance after the other, the new one first", ""),
    "minReadySeconds": ("min-ready", "a new instance gets users once `ready` answers 200", "let `ready` answer later"),
    "resources": ("resources", "hitless gives no limits of CPU and memory", ""),
    "volumes": ("volumes", "a process sees the files of its machine", ""),
    "volumeMounts": ("volumes", "a process sees the files of its machine", ""),
    "livenessProbe": ("liveness", "a process that ends is started again; one that hangs leaves the gateway", ""),
    "initContainers": ("init", "nothing runs before an instance", "do it in the program that `run` starts"),
    "rollbackWindow": ("rollback-window", "any run can be taken back", "`keep` makes the return instant"),
    "dynamicStableScale": ("scale", "the old version keeps its instances until everybody has left it", ""),
    "args": ("analysis-args", "they belong to an analysis that has no counterpart", ""),
    "analysis": ("history", "the journal keeps every verdict", ""),
}


def import_argo(texts: Mapping[str, str], *, to: str | None = None) -> Imported:
    """Turn the Rollouts of some files into one change.

    `texts` is file name -> text; `to` takes the place of the version that the images name. Raises InvalidInput.
    """
    manifests = Manifests.read(texts)
    rollouts = manifests.of_kind("Rollout")
    if not rollouts:
        raise manifests.nothing("Rollout")
    templates = {
        name: each for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate") for name, each in manifests.named(kind)
    }
    drafts = tuple(_draft(rollout, manifests, templates, to) for rollout in rollouts)
    return assembled(manifests.unlike(drafts), tuple(manifests.rest(EXPLAINED)), origin="Argo Rollouts")


def _draft(rollout: Fields, manifests: Manifests, templates: Templates, to: str | None) -> Draft:
    spec = rollout.inside("spec")
    name = fitting_name(rollout.inside("metadata").text("name"), rollout.origin)
    template = _template(spec, manifests)
    pods = workload(template, spec.count("replicas", 1))
    strategy, found = _strategy(spec.inside("strategy"), templates)
    ready = spec.seconds("progressDeadlineSeconds")
    section = {**pods.section, "cwd": f"releases/{name}/{{version}}"} | (
        {"ready_timeout": duration(ready)} if ready else {}
    )
    change: dict[str, Any] = {"to": to or pods.version or UNKNOWN_VERSION, **strategy}
    left = (*found, *pods.left, *rollout.left(EXPLAINED))
    return Draft(service=name, source=key_of(rollout), change=change, section=section, left=left)


def _template(spec: Fields, manifests: Manifests) -> Fields:
    """Return the pod template: the Rollout's own, or that of the workload it refers to."""
    if "workloadRef" not in spec:
        return spec.inside("template")
    reference = spec.inside("workloadRef")
    reference.text("apiVersion")
    kind, name = reference.text("kind"), reference.text("name")
    found = dict(manifests.named(kind)).get(name)
    if found is None:
        raise InvalidInput("workload-missing", f"{spec.origin}: {kind} {name} is in none of the files", "name its file")
    return deployment_template(found)


def _strategy(strategy: Fields, templates: Templates) -> tuple[dict[str, Any], list[Left]]:
    kinds = [kind for kind in ("canary", "blueGreen") if kind in strategy]
    if len(kinds) != 1:
        text = f"{strategy.origin}: strategy must be canary or blueGreen, not {' and '.join(kinds) or 'nothing'}"
        raise InvalidInput("no-strategy", text)
    inner = strategy.inside(kinds[0])
    return _canary(inner, templates) if kinds[0] == "canary" else _blue_green(inner, templates)


def _blue_green(inner: Fields, templates: Templates) -> tuple[dict[str, Any], list[Left]]:
    keep = inner.seconds("scaleDownDelaySeconds")
    change: dict[str, Any] = {
        "strategy": "blue-green",
        "keep": duration(DEFAULT_SCALE_DOWN_S if keep is None else keep),
    }
    found: list[Left] = []
    if not inner.flag("autoPromotionEnabled", default=True):
        text = "Argo waits for a person before the switch; hitless switches once the new version is ready and checked"
        found.append(
            _left(inner, "autoPromotionEnabled", "manual-promotion", text, "give it a `check`, or: hitless hold")
        )
    if "prePromotionAnalysis" in inner:
        before = inner.inside("prePromotionAnalysis")
        if command := check_of(before, templates):
            change["check"] = command
        found += of_reference(before, templates, before_users=bool(command))
    if "postPromotionAnalysis" in inner:
        found += of_reference(inner.inside("postPromotionAnalysis"), templates, before_users=False)
    return change, found


def _canary(inner: Fields, templates: Templates) -> tuple[dict[str, Any], list[Left]]:
    found: list[Left] = []
    if "analysis" in inner:
        found += of_reference(inner.inside("analysis"), templates, before_users=False)
    steps = inner.each("steps")
    if not steps:
        return {"strategy": "rolling"}, found
    weights, pauses = list[int](), list[float]()
    for step in steps:
        found += _step(step, weights, pauses, templates)
    change: dict[str, Any] = {"strategy": "canary"}
    if weights:
        change["steps"] = [*(f"{weight}%" for weight in weights if weight < 100), "100%"]
    else:
        text = "no step names a weight; the steps of hitless are taken: 1%, 5%, 25%, 100%"
        found.append(Left(code="default-steps", where=f"{inner.origin}: {inner.at('steps')}", text=text))
    if pauses:
        change["bake"] = duration(max(pauses))
    if len(set(pauses)) > 1:
        text = f"the pauses differ ({', '.join(map(duration, pauses))}); every step bakes for the longest"
        found.append(Left(code="one-bake", where=f"{inner.origin}: {inner.at('steps')}", text=text))
    return change, found


def _step(step: Fields, weights: list[int], pauses: list[float], templates: Templates) -> Iterator[Left]:
    """Read one step into the weights and pauses; yield what does not fit there."""
    match step.keys():
        case ["setWeight"]:
            weight = step.count("setWeight")
            if not 0 <= weight <= 100:
                raise InvalidInput("broken-manifest", f"{step.origin}: {step.at('setWeight')} must be from 0 to 100")
            if weight > max(weights, default=0):
                weights.append(weight)
            else:
                text = f"a share of {weight}% after {max(weights, default=0)}%; steps of hitless only grow"
                yield _left(step, "setWeight", "not-growing", text)
        case ["pause"]:
            seconds = step.inside("pause").seconds("duration")
            if seconds is None:
                text = (
                    "Argo waits here until somebody promotes; hitless goes on when the step is observed and not worse"
                )
                yield _left(step, "pause", "manual-pause", text, "hold it there: hitless hold, later hitless resume")
            else:
                pauses.append(seconds)
        case ["analysis"]:
            yield from of_reference(step.inside("analysis"), templates, before_users=False)
        case keys:
            yield from (_unknown_step(step, key) for key in keys)


def _unknown_step(step: Fields, key: str) -> Left:
    step.take(key)
    text, hint = {
        "experiment": ("both versions are compared while users meet them, from the first step on", ""),
        "setCanaryScale": ("the new version gets as many instances as the old one", ""),
        "setHeaderRoute": ("no route by header", "put these users in a group and begin with it: steps: [staff, ...]"),
        "setMirrorRoute": ("no request is sent twice", "send load to the new version in a `check`"),
    }.get(key, ("hitless has no such step", ""))
    return _left(step, key, "step-" + key.lower(), text, hint)


def _left(fields: Fields, key: str, code: str, text: str, hint: str = "") -> Left:
    return Left(code=code, where=f"{fields.origin}: {fields.at(key)}", text=text, hint=hint)
