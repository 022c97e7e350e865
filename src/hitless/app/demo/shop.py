"""A copy of the example shop on free ports, in a folder of its own."""

import secrets
import shutil
from pathlib import Path
from typing import Any

import yaml

import hitless
from hitless.kit.errors import HitlessError
from hitless.runtime.free_ports import free_port

DRAIN = "5s"  # the downloads of the demo take less
ADDRESSES = (("gateway", "listen"), ("gateway", "internal"), ("control", "listen"), ("control", "grpc"))


def find_shop() -> Path:
    """Return the folder of the example shop: in the checkout, or in the installed package. Raises HitlessError."""
    package = Path(hitless.__file__).resolve().parent
    for folder in (package.parents[1] / "examples" / "shop", package / "examples" / "shop"):
        if (folder / "hitless.yaml").is_file():
            return folder
    raise HitlessError("no-examples", f"the example shop is not in {package}", "install hitless again")


def copy_shop(target: Path) -> Path:
    """Copy the shop to a folder that does not exist yet and give it free ports; returns its system file."""
    ignored = shutil.ignore_patterns("__pycache__", ".hitless")
    shutil.copytree(find_shop(), target, ignore=ignored)
    file = target / "hitless.yaml"
    system: dict[str, Any] = yaml.safe_load(file.read_text())
    give_ports(system)
    for service in system["services"].values():
        service["drain"] = DRAIN  # there are many changes to be seen in three minutes
    file.write_text(yaml.safe_dump(system, sort_keys=False))
    return file


def give_ports(system: dict[str, Any]) -> None:
    """Let a system listen on free ports of the loopback."""
    taken: list[int] = []
    for section, key in ADDRESSES:
        taken.append(free_port(secrets.randbits(32), taken))
        system.setdefault(section, {})[key] = f"127.0.0.1:{taken[-1]}"
