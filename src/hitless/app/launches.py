"""How an instance of a service is started on this machine, and what it would lack."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from hitless.app.databases import Databases
from hitless.plan.plan import Refusal
from hitless.plan.system import Service, System
from hitless.runtime.environment import fill, service_environment
from hitless.runtime.steps import Launch


@dataclass(frozen=True, slots=True)
class Launches:
    """Turns sections of the system file into launches."""

    system: System
    folder: Path  # where the system file lies; relative paths begin here
    state: Path

    def of(self, name: str, section: Service, version: str, schema: str | None) -> Launch:
        """Return how an instance of one version is started, on one schema version of its database."""
        internal = self.system.gateway.internal
        environment = service_environment(
            own=section.env,
            base=str(self.folder),
            urls={service: f"http://{internal}/{service}" for service in self.system.services},
            database_url=self._database_url(section.database, schema),
            ofrep=f"http://{self.system.control.listen}",
            flagd=self.system.control.grpc,
        )
        return Launch(
            service=name,
            version=version,
            run=section.run,
            cwd=str(self.folder / section.cwd),
            env=environment,
            ready=section.ready,
            ready_timeout_s=section.ready_timeout,
            grace_s=section.grace,
            database=section.database,
            schema=None if section.database is None else schema,
        )

    def _database_url(self, database: str | None, schema: str | None) -> str | None:
        if database is None:
            return None
        return Databases(system=self.system, folder=self.folder, state=self.state).url_for_services(database, schema)


def missing(launch: Launch) -> Refusal | None:
    """Say what a launch needs and this machine lacks."""
    cwd, program = fill((launch.cwd, launch.run[0]), version=launch.version, port=0)
    what = f"{launch.service} {launch.version}"
    if not Path(cwd).is_dir():
        return Refusal(code="release-missing", text=f"{what}: there is no folder {cwd}", hint="bring the release there")
    beside = Path(cwd) / program
    found = os.access(beside, os.X_OK) if "/" in program else shutil.which(program) is not None
    if not found:
        return Refusal(code="program-missing", text=f"{what}: there is no program {program}", hint=f"looked in {cwd}")
    return None
