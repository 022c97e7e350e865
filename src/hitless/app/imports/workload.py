"""A Kubernetes pod template, as a service of hitless.yaml. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hitless.app.imports.fields import Fields, duration
from hitless.app.imports.outcome import Left
from hitless.plan.instances import INSTANCES_LIMIT, VERSION

PLACEHOLDER_RUN = ["./run", "--port", "{port}"]
UNKNOWN_VERSION = "next"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a pod template says about a service."""

    version: str | None  # the tag of the image; None: there is no image
    section: Mapping[str, Any]
    left: tuple[Left, ...]


def workload(template: Fields, replicas: int) -> Workload:
    """Read a pod template; what it says beyond that stays unread in it."""
    pod = template.inside("spec")
    containers = pod.each("containers")
    found: list[Left] = []
    main = next((each for each in containers if "ports" in each), containers[0] if containers else None)
    for other in containers:
        if other is not main:
            found.append(_of(other, "sidecar", f"{other.text('name')}: a second program beside the service"))
            _skip(other)
    section: dict[str, Any] = {"instances": min(replicas, INSTANCES_LIMIT)} if replicas else {}
    if replicas > INSTANCES_LIMIT:
        found.append(_of(template, "too-many-instances", f"{replicas} replicas; {INSTANCES_LIMIT} is the limit"))
    version = None
    if main is not None:
        version, container, more = _container(main)
        section |= container
        found += more
    grace = pod.seconds("terminationGracePeriodSeconds")
    if grace is not None:
        section["grace"] = duration(grace)
    return Workload(version=version, section=section, left=tuple(found))


def deployment_template(deployment: Fields) -> Fields:
    """Return the pod template of a Deployment; how many pods it has is said elsewhere."""
    spec = deployment.inside("spec")
    spec.take("replicas")
    return spec.inside("template")


def _container(main: Fields) -> tuple[str | None, dict[str, Any], list[Left]]:
    found: list[Left] = []
    main.text("name")
    ports = [_port(port) for port in main.each("ports")]
    words = [*main.texts("command"), *main.texts("args")]
    if not words:
        text = "the program stands in the image, not in the manifest"
        found.append(_of(main, "no-command", text, "write it at `run`, with {port} where the port belongs"))
    section: dict[str, Any] = {"run": [_ported(word, ports) for word in words] or PLACEHOLDER_RUN}
    version, more = _version(main)
    section["version"] = version or UNKNOWN_VERSION
    found += more
    ready, more = _ready(main)
    section |= ready
    found += more
    env = dict(_environment(main.each("env"), found))
    return version, section | ({"env": env} if env else {}), found


def _port(port: Fields) -> int:
    number = port.count("containerPort")
    _skip(port)
    return number


def _ported(word: str, ports: list[int]) -> str:
    """Our instances get their port when they start."""
    for port in ports:
        word = re.sub(rf"(?<!\d){port}(?!\d)", "{port}", word)
    return word


def _version(main: Fields) -> tuple[str | None, list[Left]]:
    image = main.text("image")
    if not image:
        return None, []
    name, _, digest = image.partition("@")
    tag = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else ""
    version = tag or digest.replace("sha256:", "sha256-")[:19]
    text = f"{image} is an image; hitless starts processes from a release folder"
    left = [_of(main, "image", text, "put the release where `cwd` says, one folder for each version")]
    if not version or VERSION.fullmatch(version) is None or version == "latest":
        left.append(_of(main, "floating-version", f"{image} names no fixed version", "name one at `to`"))
    return (version if VERSION.fullmatch(version or "") else UNKNOWN_VERSION), left


def _ready(main: Fields) -> tuple[dict[str, str], list[Left]]:
    if "readinessProbe" not in main:
        text = "nothing says when an instance can serve; `ready` is /ready"
        return {}, [_of(main, "no-readiness", text, "name a path that answers 200 once it can")]
    probe = main.inside("readinessProbe")
    if "httpGet" not in probe:
        return {}, [_of(main, "no-readiness", "the readiness probe asks no HTTP path; `ready` is /ready")]
    asked = probe.inside("httpGet")
    path = asked.text("path", "/")
    _skip(asked)
    if re.fullmatch(r"/[A-Za-z0-9._~/-]{0,200}", path) is None:
        return {}, [_of(main, "no-readiness", f"{path!r} is no plain path; `ready` is /ready")]
    return {"ready": path}, []


def _environment(entries: list[Fields], found: list[Left]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name = entry.text("name")
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name) is None:
            found.append(_of(entry, "invalid-name", f"{name!r} is no name of an environment variable"))
        elif "valueFrom" in entry:
            entry.take("valueFrom")
            found.append(_of(entry, "secret", f"{name} comes from elsewhere", f"set {name} where hitless runs"))
            yield name, f"env:{name}"
        elif (value := entry.text("value")).startswith(("env:", "file:")) or "$(" in value:
            found.append(_of(entry, "environment", f"the value of {name} would mean something else here", "write it"))
        else:
            yield name, value


def _of(fields: Fields, code: str, text: str, hint: str = "") -> Left:
    return Left(code=code, where=f"{fields.origin}: {fields.path}", text=text, hint=hint)


def _skip(fields: Fields) -> None:
    """Everything in here is told of already."""
    for key in fields.keys():  # noqa: SIM118  a method of ours, no mapping
        fields.take(key)
