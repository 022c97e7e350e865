"""The controller is killed at every boundary of every kind of step, forward and backward, while users come and go."""

import time

import pytest

from hitless.app.demo.rows import compare
from hitless.kit.files import write_atomic

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]
PHASES = ("before", "intent", "effect", "done")
KINDS = ("start", "check", "let", "everybody to", "watch", "drain", "stop")
CHECK = ["true"]


BOUND_S = 900.0  # for all kills of one way; about one second each on an idle machine


def crash_everywhere(shop, words, wishes) -> None:
    """Let the controller die at one named place after the other while a command goes on, which must end well."""
    point, killed = shop.state / "run" / "crash-at", set()
    write_atomic(point, wishes[0])
    deadline = time.monotonic() + BOUND_S
    with shop.start(*words) as command:
        for wish in wishes:
            if wish != wishes[0]:
                write_atomic(point, wish)
            killed.add(shop.pid("controller"))
            while point.exists():
                assert time.monotonic() < deadline, f"nobody came to {wish}"
                assert command.poll() is None, f"it was over before {wish}: {command.communicate()}"
                time.sleep(0.005)
        out, err = command.communicate(timeout=240)
    assert command.returncode == 0, out + err
    assert len(killed) > len(wishes) / 2  # a pid file may be read while it still names the one before


@pytest.fixture(scope="module")
def shipped(shop) -> str:
    """A change with every kind of step, carried out by controllers that were killed at each boundary: the run."""
    change = shop.change(web={"to": shop.other("web"), "strategy": "blue-green", "check": ["true"]})
    steps = shop.json("plan", change)["steps"]
    for kind in KINDS:
        assert any(kind in step["describe"] for step in steps), kind
    wishes = [f"{position}:{phase}" for position in range(len(steps)) for phase in PHASES]
    crash_everywhere(shop, ["apply", change], wishes)
    return shop.json("runs")[0]["run"]


def test_a_kill_at_every_boundary_on_the_way_forward_loses_nothing(shop, unharmed, request):
    new = shop.other("web")
    run = request.getfixturevalue("shipped")
    assert shop.json("show", run)["state"] == "completed"
    assert shop.versions("web") == {new: 1.0}
    shop.assert_whole()


def test_a_kill_at_every_boundary_on_the_way_back_loses_nothing(shop, unharmed, shipped):
    old = shop.other("web")
    steps = shop.json("show", shipped)["steps"]
    touched = [step["position"] for step in reversed(steps) if step["inverse"]]
    wishes = [f"{position}:undo-{phase}" for position in touched for phase in PHASES]
    crash_everywhere(shop, ["rollback", shipped], wishes)
    assert shop.json("show", shipped)["state"] == "rolled-back"
    assert shop.versions("web") == {old: 1.0}
    shop.assert_whole()


def test_a_kill_at_every_effect_of_a_schema_change_leaves_no_row_different_forward_and_back(shop, unharmed):
    change = shop.file.parent / "split.yaml"
    change.write_text("change: split\ndatabase: {main: [0002_split_name]}\n")
    plan = shop.json("plan", str(change))
    gate = next(step["position"] for step in plan["steps"] if step["describe"].startswith("verify again"))
    words = [step["describe"].split()[0] for step in plan["steps"]]
    assert words == ["expand", "backfill", "verify", "switch", "verify", "contract"]
    crash_everywhere(shop, ["apply", str(change)], [f"{position}:effect" for position in range(gate)])
    run = shop.json("runs")[0]["run"]
    assert compare(shop.state).differing == 0
    touched = [position for position in (3, 0) if plan["steps"][position]["inverse"]]
    assert len(touched) == 2
    back = [f"{position}:undo-{phase}" for position in touched for phase in ("intent", "effect")]
    crash_everywhere(shop, ["rollback", run], back)
    assert shop.json("show", run)["state"] == "rolled-back"
    shop.assert_whole()
