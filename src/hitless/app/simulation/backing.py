"""What services lean on in the simulated world: schemas of databases, and flags with their clients."""

from dataclasses import dataclass, field

from hitless.flags.languages import Seen

SILENT_S = 1000.0  # who is later than this never takes anything


@dataclass(slots=True)
class Schema:
    """One database: the versions of its schema that code can use now, and how far the newest has come."""

    versions: list[str]  # the newest last
    phase: str = "contracted"
    switched: bool = False
    differs: int = 0  # rows that a verification would find different

    @property
    def newest(self) -> str:
        """The version that came last."""
        return self.versions[-1]

    def reach(self, version: str, phase: str) -> None:
        """Go to a phase."""
        match phase:
            case "expanded":
                if version not in self.versions:
                    self.versions.append(version)
            case "withdrawn":
                self.versions = [each for each in self.versions if each != version]
                phase = "contracted"
            case "contracted":
                self.versions = [version]
            case _:
                pass
        self.phase = phase


@dataclass(slots=True)
class Flags:
    """The definitions that are served, and how late each client takes a new one."""

    clients: dict[str, float] = field(default_factory=dict)  # name -> seconds after a change, see SILENT_S
    definitions: dict[str, str] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)
    version: int = 0
    changed_at: dict[int, float] = field(default_factory=dict)  # version -> when it was served first

    def define(self, flag: str, definition: str) -> None:
        """Write a definition down, empty: none; nobody is served it yet."""
        if definition:
            self.definitions[flag] = definition
        else:
            self.definitions.pop(flag, None)

    def serve(self, now: float) -> int:
        """Serve what is defined; returns the version of the set."""
        if self.served != self.definitions:
            self.served = dict(self.definitions)
            self.version += 1
            self.changed_at[self.version] = now
        return self.version

    def slow(self, now: float) -> tuple[str, ...]:
        """Name the clients that will take what is served now, and have not yet."""
        since = self.changed_at.get(self.version, 0.0)
        return tuple(
            name for name, late_s in sorted(self.clients.items()) if since + late_s > now and late_s < SILENT_S
        )

    def seen(self, now: float) -> list[Seen]:
        """Return the clients, each with the version it has."""
        return [
            Seen(name=name, protocol="ofrep", agent="simulated", version=str(self._taken(late_s, now)))
            for name, late_s in sorted(self.clients.items())
        ]

    def _taken(self, late_s: float, now: float) -> int:
        return max((version for version, at in self.changed_at.items() if at + late_s <= now), default=0)
