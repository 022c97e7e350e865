"""What a plan says about what its watches will see."""

from dataclasses import replace

import pytest

from hitless.app.facts import Felt
from hitless.app.observation import felt_by_users
from hitless.app.sight import refusals, remarks, sights, to_json
from hitless.kit.units import EVERYBODY, NOBODY, Share
from hitless.plan.change import Change, read_change
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.verdict import conversions_to_see

WATCH = Watch(service="orders", baseline="a", canary="b", share=Share(500), bake_s=60.0)
BUSY = {"orders": Felt(users_per_s=100.0, users=100_000, bad=100)}


def change(more: str = "", guards: str = "") -> Change:
    return read_change(f"change: c\n{guards}services: {{ orders: {{ to: '2'{more} }} }}\n", file="c")


def test_a_step_says_what_it_takes_to_see_twice_and_five_times_the_errors() -> None:
    """At 0.1 % and 5 %: 12732 and 1254 requests of the new version, by the table of notes and docs."""
    (sight,) = sights([WATCH], BUSY)
    assert [each.requests for each in sight.seen] == pytest.approx([12_732, 1_254], rel=0.002)
    assert [round(each.seconds) for each in sight.seen] == pytest.approx([2546, 251], rel=0.002)


def test_a_step_that_is_over_before_it_can_see_is_blind_and_told_the_bake_that_would_do() -> None:
    found = sights([WATCH], BUSY)
    assert found[0].blind
    assert "orders at 5% is blind: in its bake of 1m it cannot see x5; bake: 4m20s would" in remarks(
        found, change(), BUSY
    )
    long = sights([replace(WATCH, bake_s=found[0].bake_that_would_s)], BUSY)
    assert not long[0].blind


@pytest.mark.parametrize(
    ("more", "evidence", "no_evidence_s", "codes"),
    [
        ("", "required", 100.0, ["blind-step"]),
        ("", "required", 300.0, []),
        (", accept_blind: true", "required", 100.0, []),
        ("", "observed", 100.0, []),
    ],
)
def test_a_step_that_must_have_evidence_and_cannot_is_refused_unless_the_user_knows(
    more: str, evidence: str, no_evidence_s: float, codes: list[str]
) -> None:
    step = replace(WATCH, evidence=evidence, no_evidence_s=no_evidence_s)
    assert [each.code for each in refusals(sights([step], BUSY), change(more))] == codes


def second(at: int, users: int, bad: int = 0, lost: int = 0) -> Second:
    return Second(at=at, arms={("orders", "a"): ArmCount(requests=users, users=users, bad_users=bad)}, lost=lost)


def test_today_s_traffic_is_that_of_the_last_minute_and_the_error_rate_that_of_the_last_quarter_of_an_hour() -> None:
    """It was that of the quarter too: a step took twice as long by a plan made while the load had doubled."""
    night, rush = [second(at, 2, bad=at % 10 == 0) for at in range(840)], [second(840 + n, 100) for n in range(60)]
    felt = felt_by_users([*night, *rush, second(900, 7, lost=1)], since=840)["orders"]
    assert (felt.users_per_s, felt.users, felt.bad) == (100.0, 840 * 2 + 6000, 84)


def test_where_few_come_in_a_minute_their_traffic_is_that_of_the_quarter() -> None:
    felt = felt_by_users([second(at, int(at % 30 == 0)) for at in range(900)], since=840)["orders"]
    assert felt.users_per_s == pytest.approx(1 / 30)


def test_where_nobody_was_bad_what_so_few_can_hide_is_assumed() -> None:
    few = {"orders": Felt(users_per_s=10.0, users=999, bad=0)}
    assert few["orders"].bad_share == 0.0005
    assert any("less than 0.05%" in said for said in remarks(sights([WATCH], few), change(), few))


@pytest.mark.parametrize("step", [replace(WATCH, share=NOBODY, group="staff"), WATCH])
def test_nobody_can_say_for_a_group_or_without_traffic(step: Watch) -> None:
    felt = BUSY if step.group else {}
    (sight,) = found = sights([step], felt)
    assert (sight.seen, sight.blind) == ((), False)
    assert list(refusals(found, change())) == []
    assert remarks(found, change(), felt)


def test_a_ratio_that_is_tolerated_is_not_looked_for() -> None:
    tolerant = replace(WATCH, errors_worse=2.0)
    assert [each.ratio for each in sights([tolerant], BUSY)[0].seen] == [5.0]
    said = remarks(sights([tolerant], BUSY), change(), BUSY)
    assert "orders: x2 is tolerated (errors.worse: 2x), and not looked for" in said


def test_where_twice_and_five_times_are_tolerated_a_plan_says_what_a_step_sees_all_the_same() -> None:
    """It said nothing at all, called no step blind, and refused none that must have evidence."""
    tolerant = replace(WATCH, errors_worse=5.0, evidence="required", no_evidence_s=60.0)
    found = sights([tolerant], BUSY)
    assert [each.ratio for each in found[0].seen] == [10.0]
    assert found[0].blind
    assert any("orders at 5% sees x10 after about" in said for said in remarks(found, change(), BUSY))
    (refusal,) = refusals(found, change())
    assert (refusal.code, "even x10 takes about" in refusal.text) == ("blind-step", True)


def test_a_step_that_can_see_no_ratio_says_why() -> None:
    group = remarks(sights([replace(WATCH, share=NOBODY, group="staff")], BUSY), change(), BUSY)
    assert "orders for staff: nobody can say what a group will see, it has no share of the users" in group
    broken = {"orders": Felt(users_per_s=100.0, users=100_000, bad=60_000)}
    assert any("too much is bad already" in said for said in remarks(sights([WATCH], broken), change(), broken))


def test_a_watch_without_a_baseline_sees_nothing_to_compare() -> None:
    assert sights([replace(WATCH, share=EVERYBODY)], BUSY) == ()


def test_the_plan_holds_it_as_plain_data() -> None:
    plain = to_json(sights([WATCH], BUSY), change(guards="guards: { alpha: 2%, errors: { worse: 1.5x } }\n"), BUSY)
    assert (plain["alpha"], plain["errors"]) == (0.02, {"worse": 1.5, "by": "users"})
    (step,) = plain["steps"]
    assert (step["position"], step["blind"], step["see"]["x5"]["requests"]) == (
        0,
        True,
        sights([WATCH], BUSY)[0].seen[1].requests,
    )


GUARDS = """guards:
  warm_up: 30s
  crashes: { limit: 3 }
  sample_ratio: true
  business: { at: orders, within: 5m, margin: 5% }
  saturation: { source: opentelemetry, load: pool.usage, limit: 80%, long: 45s }
"""


def test_a_plan_says_what_else_is_watched_and_what_it_takes_to_see_it() -> None:
    """At 5 % and without a margin half of the conversions lost shows after 31.3, by 3.3 of the notes: 1043 at 3 %."""
    said = "\n".join(remarks(sights([WATCH], BUSY), change(guards=GUARDS), BUSY))
    assert "ends of processes (3 take it back), shares of new users, clusters of errors" in said
    assert "first 30s of new instances are not compared" in said
    assert "users who POST to orders within 5m, 5% may be lost; at 5%, half of them lost shows after about " in said
    assert "pool.usage (opentelemetry) at 80% or above for 45s takes the new version back" in said
    assert [round(conversions_to_see(lost, 0.05) / 0.03, -1) for lost in (0.5, 0.1)] == pytest.approx(
        [1043, 31_000], rel=0.03
    )
    plain = to_json(sights([WATCH], BUSY), change(guards=GUARDS), BUSY)
    assert (plain["business"]["at"], plain["saturation"]["limit"], plain["warm_up_s"]) == ("orders", 0.8, 30.0)


def test_a_group_alone_has_no_share_by_which_one_could_say() -> None:
    step = replace(WATCH, share=NOBODY, group="staff")
    assert any(said.endswith("5% may be lost") for said in remarks(sights([step], BUSY), change(guards=GUARDS), BUSY))
