"""The first system file of a newcomer: it runs as it is. Pure."""

from hitless.kit.errors import InvalidInput
from hitless.plan.instances import NAME

_STARTER = """\
system: {name}

gateway:
  listen: 127.0.0.1:8080           # users come in here
  internal: 127.0.0.1:8081         # services call each other here: http://127.0.0.1:8081/SERVICE/...

services:
  web:
    route: /                       # [host]/prefix; the longest wins
    run: [python3, -m, http.server, "{{port}}", --bind, 127.0.0.1]
    version: "1.0"
    instances: 2
    ready: /                       # GET answers 200 once an instance can serve
    drain: 30s                     # what is in flight gets this long to end
"""


def starter_file(name: str) -> str:
    """Return the text of a system file. Raises InvalidInput for a name that no system can have."""
    if NAME.fullmatch(name) is None:
        raise InvalidInput("invalid-name", f"{name!r} is no name: small letters, digits, - and _", "like: my-shop")
    return _STARTER.format(name=name)
