"""Definitions on a real PostgreSQL, published to a real flag server on its unix socket."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hitless.flags.bundle import SetText, write_bundle
from hitless.flags.edits import Wish
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
    await definitions.replace(text, {}, who="ann", why="import")
    assert (await definitions.one()).document == text


async def test_every_edit_is_kept_with_who_and_why_and_its_difference(definitions: Definitions) -> None:
    await definitions.change("f", Wish(stage="5%"), {}, who="ann", why="begin")
    await definitions.change("f", Wish(remove=True), {}, who="bob", why="remove")
    last, first = await definitions.history("f")
    assert (last.who, last.why, first.who, first.why) == ("bob", "remove", "ann", "begin")
    assert last.before == first.after
    assert '+  "state": "ENABLED",' in first.diff()


async def test_an_edit_that_changes_nothing_is_no_edit(definitions: Definitions) -> None:
    for _ in range(2):
        await definitions.change("f", Wish(stage="5%"), {}, who="ann", why="begin")
    assert len(await definitions.history("f")) == 1


@pytest.mark.parametrize("text", ['{"flags": ', '{"flags": {"f": 1, "f": 2}}', "x" * 10_000_001])
async def test_a_broken_import_changes_nothing(definitions: Definitions, text: str) -> None:
    before = await definitions.sets()
    for name in ("default", "other"):
        with pytest.raises(InvalidInput):
            await definitions.replace(text, {}, who="ann", why="import", name=name)
    assert await definitions.sets() == before
    assert not await definitions.history()


async def test_a_bad_flag_is_refused_by_an_edit(definitions: Definitions) -> None:
    wish = Wish(definition={**FLAG, "targeting": {"no_such": 1}})
    with pytest.raises(InvalidInput, match="no_such"):
        await definitions.change("f", wish, {}, who="ann", why="try")


async def test_a_set_for_an_environment_has_its_own_flags_and_history(definitions: Definitions) -> None:
    await definitions.replace('{"flags": {}}', {}, who="ann", why="new", name="default@staging", bucketing="v2")
    await definitions.change("f", Wish(stage="everyone"), {}, who="ann", why="try", name="default@staging")
    assert [each.name for each in await definitions.sets()] == ["default", "default@staging"]
    assert '"f"' not in (await definitions.one()).document
    assert (await definitions.one("default@staging")).bucketing == "v2"
    assert len(await definitions.history(name="default@staging")) == 2
    with pytest.raises(InvalidInput, match="no set"):
        await definitions.change("f", Wish(stage="5%"), {}, who="ann", why="try", name="elsewhere")


async def test_a_scheduled_edit_happens_once_when_its_time_has_come(definitions: Definitions) -> None:
    await definitions.change("f", Wish(stage="off"), {}, who="ann", why="begin")
    await definitions.schedule("f", Wish(killed=True), 4_000_000_000, who="ann", why="later")
    await definitions.schedule("f", Wish(stage="everyone"), 1, who="ann", why="launch")
    await definitions.schedule("gone", Wish(killed=True), 2, who="ann", why="gone")
    assert await definitions.perform_due({}) == 2
    assert await definitions.perform_due({}) == 0
    last = (await definitions.history("f"))[0]
    assert (last.who, last.why.startswith("launch (scheduled")) == ("ann", True)
    waiting, done = await definitions.scheduled("f")
    assert (waiting.state, done.state) == ("waiting", "done")
    assert (await definitions.scheduled("gone"))[0].note == "there is no flag 'gone'"
    await definitions.cancel(waiting.number, "bob")
    with pytest.raises(InvalidInput):
        await definitions.cancel(waiting.number, "bob")


async def test_what_put_returns_from_is_served(definitions: Definitions, tmp_path: Path) -> None:
    bundle, sock = tmp_path / "flags.json", tmp_path / "f.sock"
    bundle.write_text(write_bundle((SetText(name="default", bucketing="v3", text='{"flags": {}}'),)))
    command = [sys.executable, "-m", "hitless.flags.serve", "--bundle", str(bundle), "--listen", f"unix:{sock}"]
    published = Published(definitions, bundle, sock)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            before = await published.version()
            wanted = canonical(at_stage(None, "5%"))
            version = await published.put("f", wanted, "try")
            assert version == await published.version() != before
            assert await published.definition("f") == wanted
            assert await published.served()
            await definitions.change("f", Wish(stage="50%"), {}, who="ann", why="killed before it was published")
            assert not await published.served()
            await published.publish()
            assert await published.served()
            assert await published.put("f", "", "away") != version
            await published.put("f", "", "again, after a kill")
            assert sock.stat().st_mode & 0o777 == 0o600
        finally:
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
    server.until(lambda: all(client.get_boolean_value("f", False) for client in clients), within_s=240)
    api.shutdown()
