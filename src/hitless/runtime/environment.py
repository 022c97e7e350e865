"""What a service process finds in its environment. Pure."""

from collections.abc import Iterable, Mapping

from hitless.plan.instances import InstanceId
from hitless.runtime.steps import Launch


def service_environment(
    *,
    own: Mapping[str, str],
    base: str,
    urls: Mapping[str, str],
    database_url: str | None,
    ofrep: str | None,
    flagd: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the environment that all instances of a version share, for `Launch.env`.

    `own` is what the user wrote (`file:` paths are relative to `base`), `urls` the internal URL of each service,
    `database_url` a libpq URL or a reference like `env:NAME`, `ofrep` the URL of the flag server, `flagd` the HOST:PORT
    where it speaks gRPC.
    """
    given = {f"HITLESS_URL_{name.upper().replace('-', '_')}": url for name, url in urls.items()}
    if database_url is not None:
        given["DATABASE_URL"] = database_url
    if ofrep is not None:
        given["OFREP_ENDPOINT"] = ofrep
    if flagd is not None:
        host, _, port = flagd.rpartition(":")
        given |= {"FLAGD_HOST": host.strip("[]"), "FLAGD_PORT": port, "FLAGD_SYNC_PORT": port}
        given["FLAGD_RETRY_BACKOFF_MAX_MS"] = "1000"  # some official clients wait 12 s after a lost stream
    given.update({name: _absolute(value, base) for name, value in own.items()})
    return tuple(sorted(given.items()))


def instance_environment(instance: InstanceId, launch: Launch, port: int) -> dict[str, str]:
    """Return the whole environment of one instance, references unresolved. Who it is cannot be overridden."""
    resource = {
        "service.name": launch.service,
        "service.version": launch.version,
        "service.instance.id": str(instance),
    }
    standard = {
        "OTEL_SERVICE_NAME": launch.service,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{name}={value}" for name, value in resource.items()),
    }
    who = {
        "PORT": str(port),
        "HITLESS_SERVICE": launch.service,
        "HITLESS_VERSION": launch.version,
        "HITLESS_INSTANCE": str(instance),
    }
    return {**standard, **dict(launch.env), **who}


def fill(words: Iterable[str], *, version: str, port: int) -> tuple[str, ...]:
    """Fill `{version}` and `{port}` into words; any other brace stays as it is."""
    return tuple(word.replace("{version}", version).replace("{port}", str(port)) for word in words)


def _absolute(value: str, base: str) -> str:
    path = value.removeprefix("file:")
    if path == value or path.startswith("/"):
        return value
    return f"file:{base}/{path}"
