"""The system file: what runs, and how it is reached. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Self

from hitless.kit.errors import InvalidInput
from hitless.plan.document import (
    Address,
    Count,
    Duration,
    EnvName,
    Model,
    Name,
    OptionalDuration,
    Path,
    Reference,
    Route,
    UserSource,
    Version,
    after,
    read,
)

RESERVED = frozenset({"hitless", "postgres", "template0", "template1"})  # of the embedded cluster


class GatewaySection(Model):
    """Where users and services come in."""

    listen: Address = "127.0.0.1:8080"
    internal: Address = "127.0.0.1:8081"
    user: UserSource | None = None  # None: a cookie that hitless sets itself
    tls: str | None = None
    trusted_proxies: tuple[str, ...] = ()


class ControlSection(Model):
    """Where the API and the flags are reached, and where the journal lies."""

    listen: Address = "127.0.0.1:8090"
    grpc: Address = "127.0.0.1:8013"
    store: Reference | None = None  # None: the embedded PostgreSQL
    flags_token: Reference | None = None  # None: clients of flags need none on loopback, and the API's elsewhere


class Group(Model):
    """Named users."""

    users: tuple[str, ...] = ()
    file: str | None = None
    email: str | None = None


class Database(Model):
    """A PostgreSQL database that services use."""

    url: Reference | None = None  # None: embedded
    migrations: str | None = None
    version: str | None = None
    pooler: bool = False
    direct: Reference | None = None  # hitless's own way to the server; None: it asks the pooler where that is

    @after
    def _check(self) -> Self:
        if self.version is not None and self.migrations is None:
            raise ValueError("version names a migration, and there is no folder of them (migrations: migrations/)")
        if self.direct is not None and self.url is None:
            raise ValueError("direct is the way past the pooler that url leads to, and there is no url")
        return self


class Service(Model):
    """A service: how an instance of it is started, reached, and ended."""

    run: tuple[str, ...]
    version: Version
    cwd: str = "."
    route: Route | None = None
    instances: Count = 1
    ready: Path = "/ready"
    ready_timeout: Duration = 30.0
    drain: OptionalDuration = 30.0  # infinite: waits as long as it takes
    grace: Duration = 10.0  # from TERM to KILL
    timeout: Duration = 60.0
    idle: Duration = 3600.0
    calls: tuple[Name, ...] = ()
    database: Name | None = None
    env: Mapping[EnvName, str] = {}

    @after
    def _check(self) -> Self:
        if not self.run or not self.run[0]:
            raise ValueError("run needs the program to start")
        return self


class System(Model):
    """The whole file."""

    system: Name
    state: str = ".hitless"
    gateway: GatewaySection = GatewaySection()
    control: ControlSection = ControlSection()
    groups: Mapping[Name, Group] = {}
    databases: Mapping[Name, Database] = {}
    services: Mapping[Name, Service]

    @after
    def _check(self) -> Self:
        self._check_names()
        self._check_databases()
        self._check_routes()
        list(self.callees_first())
        return self

    def callees_first(self) -> Iterator[str]:
        """Yield all services so that each comes after the services it calls. Raises ValueError on a circle."""
        done: list[str] = []
        yield from (name for start in self.services for name in self._visit(start, (), done))

    def nearest(self, service: str, limit: int) -> tuple[str, ...]:
        """Return so many other services at most, by name: first those that call it or are called by it."""
        near = self.callers_of(service) | set(self.services[service].calls)
        others = sorted(set(self.services) - {service}, key=lambda name: (name not in near, name))
        return tuple(sorted(others[:limit]))

    def callers_of(self, service: str) -> set[str]:
        """Return the services that call this one directly."""
        return {name for name, other in self.services.items() if service in other.calls}

    def _visit(self, name: str, path: tuple[str, ...], done: list[str]) -> Iterator[str]:
        if name in path:
            raise ValueError(f"calls go in a circle: {' -> '.join((*path[path.index(name) :], name))}")
        if name not in done:
            for callee in self.services[name].calls:
                yield from self._visit(callee, (*path, name), done)
            done.append(name)
            yield name

    def _check_names(self) -> None:
        for name, service in self.services.items():
            for callee in service.calls:
                if callee not in self.services:
                    raise ValueError(f"services.{name}.calls names {callee!r}, which is no service")
            if service.database is not None and service.database not in self.databases:
                raise ValueError(f"services.{name}.database names {service.database!r}, which is no database")

    def _check_databases(self) -> None:
        for name, database in self.databases.items():
            if database.url is None and name in RESERVED:
                raise ValueError(f"databases.{name}: an embedded database cannot be called {name!r}")

    def _check_routes(self) -> None:
        taken: dict[str, str] = {}
        for name, service in self.services.items():
            if service.route is None:
                continue
            route = service.route.rstrip("/")
            if route in taken:
                raise ValueError(f"{taken[route]} and {name} have the same route {service.route}")
            taken[route] = name
        ports = [self.gateway.listen, self.gateway.internal, self.control.listen, self.control.grpc]
        if len(set(ports)) < len(ports):
            raise ValueError(f"two listeners share one address: {', '.join(ports)}")


def read_system(text: str, *, file: str) -> System:
    """Check a system file. Raises InvalidInput."""
    return read(System, text, file=file)


def service_of(system: System, name: str) -> Service:
    """Return a service by name. Raises InvalidInput with a near name."""
    if name in system.services:
        return system.services[name]
    raise InvalidInput("unknown-service", f"{name!r} is no service of {system.system}", near(name, system.services))


def near(name: str, known: Mapping[str, object]) -> str:
    """Return a hint that names what was probably meant, or what there is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
