"""`hitless audit`: is the journal as it was written?"""

import re

import click

from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json
from hitless.kit.errors import Exit, HitlessError, InvalidInput

HEAD = re.compile(r"[1-9]\d{0,18}:[0-9a-f]{64}")


@click.group("audit")
def audit_command() -> None:
    """Show that the journal is as it was written."""


@audit_command.command("verify")
@click.option("--expect", help="The head that an earlier verify printed: it must still be part of the chain.")
@click.pass_obj
def verify(at: Here, expect: str | None) -> int:
    """Follow the chain of hashes over all facts; exit 1 names the first that was changed, added or removed."""
    if expect is not None and HEAD.fullmatch(expect) is None:
        raise InvalidInput("invalid-value", f"--expect: {expect!r} is no head", "it looks like 118:9f86d0818...")
    found = at.client().get(f"/v1/audit?expect={expect}" if expect else "/v1/audit")
    if at.as_json:
        emit_json(found)
        return Exit.FAILED if found["broken"] else Exit.DONE
    if found["broken"]:
        raise HitlessError(
            "audit-broken",
            f"{found['broken']['text']}; the {found['facts']} facts before it are as they were written",
            "find out who can write to the journal's database; a backup has the facts as they were",
        )
    emit(f"{found['facts']} facts, all as they were written\nhead {found['head']}")
    return Exit.DONE
