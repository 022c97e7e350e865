"""What may be written into HAProxy's configuration, maps and socket; anything else is refused. Pure."""

import math
import re

from hitless.kit.errors import InvalidInput
from hitless.plan.instances import INSTANCES_LIMIT, NAME, SLOTS, VERSION, InstanceId, Slot
from hitless.traffic.steps import Routing

_SALT = re.compile(r"[A-Za-z0-9._:-]{0,64}")
_USER = re.compile(r"[!-{}~]{1,200}")  # visible ASCII without the bar, which parts the fields of a map
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
_ROUTE = re.compile(r"([a-z0-9.-]{0,253})(/[A-Za-z0-9._~/-]{0,200})")
_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d{1,5}")
_NETWORK = re.compile(r"[0-9a-fA-F.:]{2,45}(?:/\d{1,3})?")
_HEADER = re.compile(r"[A-Za-z0-9_-]{1,60}")
_FILE = re.compile(r"[^'\x00-\x1f\x7f]{1,4000}")

LONGEST_MS = 2_147_483_000  # HAProxy's largest time, about 24.8 days


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise InvalidInput("unfit-for-gateway", f"{text!r} is no {what} that may reach the gateway's configuration")
    return text


def service(name: str) -> str:
    """Return a name of a service, checked. Raises InvalidInput, as all of these do."""
    return _checked(NAME, name, "name")


def version(text: str) -> str:
    """Return a version, checked."""
    return _checked(VERSION, text, "version")


def path(text: str) -> str:
    """Return a path of a URL, checked."""
    return _checked(_PATH, text, "path")


def address(text: str) -> str:
    """Return IP:port, checked."""
    return _checked(_ADDRESS, text, "address")


def network(text: str) -> str:
    """Return an IP address or a network, checked."""
    return _checked(_NETWORK, text, "address of a network")


def header(text: str) -> str:
    """Return a name of a header or cookie, checked."""
    return _checked(_HEADER, text, "name of a header")


def user(text: str) -> str:
    """Return a user of a group, checked."""
    return _checked(_USER, text, "user")


def file(text: str) -> str:
    """Return a path of a file as one quoted word."""
    return f"'{_checked(_FILE, text, 'path of a file')}'"


def route(text: str) -> tuple[str, str]:
    """Return host (empty: any) and prefix with a slash at its end."""
    match = _ROUTE.fullmatch(text)
    if match is None:
        raise InvalidInput("unfit-for-gateway", f"{text!r} is no route that may reach the gateway's configuration")
    return match[1], match[2].rstrip("/") + "/"


def milliseconds(seconds: float) -> str:
    """Return a time as HAProxy reads it; infinity is the longest that it knows."""
    if math.isnan(seconds) or seconds < 0:
        raise InvalidInput("unfit-for-gateway", f"{seconds} is no length of time")
    return f"{LONGEST_MS if math.isinf(seconds) else max(1, min(LONGEST_MS, round(seconds * 1000)))}ms"


def backend(name: str, slot: Slot) -> str:
    """Return the backend of a slot."""
    if slot not in SLOTS:
        raise InvalidInput("unfit-for-gateway", f"{slot!r} is no slot")
    return f"{service(name)}.{slot}"


def servers(instance: InstanceId) -> tuple[str, str]:
    """Return the two lines of an instance: the watched one, and the unwatched one that stands in for it."""
    if not 1 <= instance.number <= INSTANCES_LIMIT:
        text = f"{instance} has a number beyond {INSTANCES_LIMIT}, the places of a version in the gateway"
        raise InvalidInput("too-many-instances", text)
    name = backend(instance.service, instance.slot)
    return f"{name}/i{instance.number}", f"{name}/r{instance.number}"


def port(number: int) -> int:
    """Return a port, checked."""
    if not 1 <= number <= 65535:
        raise InvalidInput("unfit-for-gateway", f"{number} is no port")
    return number


def row(routing: Routing, epoch: int) -> str:
    """Return a routing as one row of the map: `ARM|ARM|share|salt|group|epoch`, an arm being `backend~version`.

    The first arm is the one of everybody who is not chosen. At 100 % that is the other slot, so that requests without
    a user go there too, and the baseline can be emptied.
    """
    arms = [
        f"{backend(routing.service, slot)}~{version(text) if (text := routing.version(slot)) else '-'}"
        for slot in SLOTS
    ]
    share = routing.share.buckets
    if (routing.baseline == "b") != (share == 10_000):
        arms.reverse()
    group = service(routing.group) if routing.group else "-"
    salt = _checked(_SALT, routing.salt, "salt")
    return f"{arms[0]}|{arms[1]}|{share % 10_000}|{salt}|{group if share < 10_000 else '-'}|{int(epoch)}"


def group_key(group: str, name: str) -> str:
    """Return the key of one user of one group in the map of groups."""
    return f"{service(group)}|{user(name)}"
