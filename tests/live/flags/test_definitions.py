"""Definitions on a real PostgreSQL, published to a real flag server on its unix socket."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hitless.flags.postgres import Definitions
from hitless.flags.published import Published
from hitless.flags.stages import at_stage, canonical
from hitless.kit.errors import HitlessError, InvalidInput

pytestmark = pytest.mark.live

FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


@pytest.fixture
async def definitions(database_url: str) -> AsyncIterator[Definitions]:
    opened = await Definitions.open(database_url)
    yield opened
    await opened.close()


async def test_a_set_comes_out_letter_by_letter_as_it_went_in(definitions: Definitions) -> None:
    text = '{ "flags" : {"f": ' + json.dumps(FLAG) + '}, "x-own": [1.0]}\n'
    await definitions.replace(text, who="ann", why="import")
    assert await definitions.document() == text


async def test_every_edit_is_kept_with_who_and_why_and_its_difference(definitions: Definitions) -> None:
    await definitions.change("f", canonical(at_stage(None, "5%")), who="ann", why="begin")
    await definitions.change("f", "", who="bob", why="remove")
    last, first = await definitions.history("f")
    assert (last.who, last.why, first.who, first.why) == ("bob", "remove", "ann", "begin")
    assert last.before == first.after
    assert '+  "state": "ENABLED",' in first.diff()


@pytest.mark.parametrize("text", ['{"flags": ', '{"flags": {"f": 1, "f": 2}}', "x" * 10_000_001])
async def test_a_broken_import_changes_nothing(definitions: Definitions, text: str) -> None:
    before = await definitions.document()
    with pytest.raises(InvalidInput):
        await definitions.replace(text, who="ann", why="import")
    assert await definitions.document() == before
    assert not await definitions.history()


async def test_a_bad_flag_is_refused_by_an_edit(definitions: Definitions) -> None:
    with pytest.raises(InvalidInput, match="no_such"):
        await definitions.change("f", json.dumps({**FLAG, "targeting": {"no_such": 1}}), who="ann", why="try")


async def test_what_put_returns_from_is_served(definitions: Definitions, tmp_path: Path) -> None:
    set_file, sock = tmp_path / "set.json", tmp_path / "f.sock"
    set_file.write_text('{"flags": {}}')
    command = [sys.executable, "-m", "hitless.flags.serve", "--set", str(set_file), "--listen", f"unix:{sock}"]
    published = Published(definitions, set_file, sock)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(100):
            try:
                before = await published.version()
                break
            except HitlessError:
                continue
        wanted = canonical(at_stage(None, "5%"))
        version = await published.put("f", wanted)
        assert version == await published.version() != before
        assert await published.definition("f") == wanted
        assert await published.waiting_for(version) == ()
        assert sock.stat().st_mode & 0o777 == 0o600
        process.terminate()
    with pytest.raises(HitlessError, match="does not answer"):
        await published.version()


def test_an_rpc_client_with_default_settings_holds_the_new_value_after_a_kill(server: Any) -> None:
    pytest.importorskip("openfeature.contrib.provider.flagd", reason="openfeature-provider-flagd is not installed")
    from openfeature import api
    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.contrib.provider.flagd.config import ResolverType

    for kind in (ResolverType.RPC, ResolverType.IN_PROCESS):
        api.set_provider_and_wait(FlagdProvider(host="127.0.0.1", port=server.grpc, resolver_type=kind), kind.value)
    clients = [api.get_client(kind.value) for kind in (ResolverType.RPC, ResolverType.IN_PROCESS)]
    assert [client.get_boolean_value("f", True) for client in clients] == [False, False]
    server.kill()
    server.sets["default"].write_text(json.dumps({"flags": {"f": {**FLAG, "defaultVariant": "on"}}}))
    server.start()
    server.until(lambda: all(client.get_boolean_value("f", False) for client in clients), within_s=60)
    api.shutdown()
