"""All Kubernetes objects of some files, found by kind and name. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from hitless.app.imports.fields import Explained, Fields
from hitless.app.imports.outcome import Draft, Left
from hitless.kit.errors import InvalidInput
from hitless.plan.document import documents

OBJECTS_LIMIT = 1000  # of all files together
REFERRED = ("AnalysisTemplate", "ClusterAnalysisTemplate", "Deployment")


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects in the order in which they stand in the files."""

    objects: tuple[Fields, ...]

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> Self:
        """Read every document of every file. Raises InvalidInput for what is no YAML or no Kubernetes object."""
        found: list[Fields] = []
        for file, text in texts.items():
            for content in documents(text, file=file):
                if content is not None:
                    found += _objects(content, file)
        if len(found) > OBJECTS_LIMIT:
            raise InvalidInput("file-too-large", f"{len(found)} objects; {OBJECTS_LIMIT} is the limit")
        return cls(tuple(found))

    def of_kind(self, kind: str) -> list[Fields]:
        """Return the objects of a kind."""
        return [each for each in self.objects if each.take("kind") == kind]

    def named(self, kind: str) -> Iterator[tuple[str, Fields]]:
        """Yield name and object of every object of a kind."""
        for each in self.of_kind(kind):
            yield each.inside("metadata").text("name"), each

    def nothing(self, kind: str) -> InvalidInput:
        """Say that there is no object of the kind that is to be imported."""
        there = sorted({str(each.take("kind")) for each in self.objects})
        text = f"there is no {kind} in these files, only: {', '.join(there) or 'nothing'}"
        return InvalidInput("nothing-to-import", text, f"name a file with a {kind}")

    def rest(self, explained: Explained) -> Iterator[Left]:
        """Tell of the objects that nothing was made of, and of what was not read in those that others refer to."""
        for each in self.objects:
            kind = str(each.take("kind"))
            if not each.has_read("spec"):
                text = _OTHER_KINDS.get(kind, "hitless has nothing that means this")
                yield Left(code="not-translated", where=key_of(each), text=text)
            elif kind in REFERRED:
                yield from each.left(explained)

    @staticmethod
    def unlike(drafts: tuple[Draft, ...]) -> tuple[Draft, ...]:
        """Return the drafts. Raises InvalidInput `duplicate-service` if two of them change one service."""
        seen: dict[str, str] = {}
        for draft in drafts:
            if draft.service in seen:
                text = f"{seen[draft.service]} and {draft.source} both change {draft.service}"
                raise InvalidInput("duplicate-service", text, "import them into two changes")
            seen[draft.service] = draft.source
        return drafts


_OTHER_KINDS = {
    "AnalysisTemplate": "nothing in these files refers to it",
    "ClusterAnalysisTemplate": "nothing in these files refers to it",
    "Deployment": "nothing in these files refers to it",
    "Service": "the gateway takes its place: a service has one route",
    "Ingress": "the gateway takes its place: write `route` at the service",
    "Secret": "hitless keeps no secrets",
    "ConfigMap": "write its values at `env`",
    "HorizontalPodAutoscaler": "the number of instances is changed by `hitless scale`",
}


def key_of(fields: Fields) -> str:
    """Name an object: its kind and its name."""
    metadata = fields.take("metadata", {})
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{fields.take('kind')} {name}"


def _objects(content: object, file: str) -> Iterator[Fields]:
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise InvalidInput("broken-manifest", f"{file}: a document is no Kubernetes object", "it needs a kind")
    if content["kind"] == "List":
        for item in content.get("items") or ():
            yield from _objects(item, file)
        return
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        raise InvalidInput("broken-manifest", f"{file}: {content['kind']} has no metadata.name")
    fields = Fields(content, f"{content['kind']} {name}")
    fields.take("apiVersion")
    fields.inside("metadata").text("name")
    yield fields
