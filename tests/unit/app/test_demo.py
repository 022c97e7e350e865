"""The demo counts at the client, and forgives only what met a version that is broken on purpose."""

import sys
from pathlib import Path

import pytest

from hitless.app.demo.play import play
from hitless.app.demo.shop import copy_shop
from hitless.app.demo.stage import Stage
from hitless.app.paths import load_system
from hitless.kit.errors import HitlessError
from hitless.testing.load.report import Tally


def stage_of(tmp_path: Path) -> Stage:
    return Stage(file=copy_shop(tmp_path / "shop"), say=lambda _: None)


def counted(*ended: tuple[str, str | None, bool]) -> Tally:
    tally = Tally(started_at=0.0, clock=lambda: 1.0)
    for path, version, failed in ended:
        if failed:
            tally.fail("GET", path, "status-500")
        tally.ended(path, version, 1.0, failed=failed)
    return tally


def test_a_copy_of_the_shop_has_free_ports_of_its_own(tmp_path):
    systems = [load_system(copy_shop(tmp_path / name)) for name in ("one", "two")]
    addresses = [each for s in systems for each in (s.gateway.listen, s.gateway.internal, s.control.listen)]
    assert len(set(addresses)) == 6
    assert (tmp_path / "one" / "changes" / "canary-orders.yaml").exists()


def test_what_a_broken_version_failed_is_counted_apart_also_where_a_caller_passed_it_on(tmp_path):
    stage = stage_of(tmp_path)
    stage.broken.add(("orders", "1.3"))
    tally = counted(("/orders", "1.3", True), ("/orders", "1.3", False), ("/", "orders/1.3", True), ("/", "2.0", False))
    counts = stage.counts(tally.report())
    assert (counts.total, counts.failed, counts.met_broken, counts.failed_there) == (4, 0, 3, 2)


def test_what_nobody_answered_and_what_another_version_failed_had_to_succeed(tmp_path):
    stage = stage_of(tmp_path)
    stage.broken.add(("orders", "1.3"))
    tally = counted(("/orders", None, True), ("/orders", "1.0", True), ("/", "1.3", True), ("/accounts/a", "1.3", True))
    tally.fail("DOWNLOAD", "/orders/download", "download-cut")
    assert stage.counts(tally.report()).failed == 5


def test_without_a_client_for_flags_the_demo_starts_nothing_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openfeature.contrib.provider.flagd", None)
    monkeypatch.setattr("hitless.app.demo.play.copy_shop", lambda _: pytest.fail("a shop was made"))
    with pytest.raises(HitlessError) as refused:
        play(print, keep=False)
    assert (refused.value.code, refused.value.hint) == ("demo-lacks-client", "pip install 'hitless[demo]'")
