"""A plan names every guard that can see nothing in one of its steps."""

from dataclasses import replace

import pytest

from hitless.app.blind_guards import blind_guards, refusals, remarks, to_json
from hitless.kit.units import EVERYBODY, NOBODY, Share
from hitless.plan.change import Change, read_change
from hitless.signals.metrics import Load, Metric
from hitless.signals.outcomes import Conversion
from hitless.signals.steps import Watch

BARE = Watch(service="orders", baseline="a", canary="b", share=Share(500), bake_s=60.0, sample_ratio=False)
BUYS = replace(BARE, conversion=Conversion(at="orders", method="POST", within_s=600))
FULL = Load(name="saturation", source="prometheus", by="version", lag_s=30, every_s=15, load="u", limit=0.9, for_s=60)
FILLS = replace(BARE, loads=(FULL,))
PAYS = replace(
    BARE,
    metrics=(
        Metric(name="pay", source="prometheus", by="version", lag_s=60, every_s=15, requests="r", bad="b", worse=1.0),
    ),
)


def change(more: str = "", guards: str = "") -> Change:
    return read_change(f"change: c\n{guards}services: {{ orders: {{ to: '2'{more} }} }}\n", file="c")


def rules(*steps: Watch, of: Change | None = None) -> list[tuple[int, str, float | None]]:
    found = to_json(blind_guards(steps, of or change()))
    return [(each["position"], each["rule"], each["bake_that_would_s"]) for each in found]


@pytest.mark.parametrize(
    ("step", "rule", "bake_s"),
    [
        (BUYS, "blind-business", 610.0),
        (FILLS, "blind-saturation", 110.0),
        (PAYS, "blind-metric", 90.0),
        (replace(BARE, errors_by="groups"), "blind-groups", 420.0),
    ],
)
def test_a_guard_that_sees_nothing_in_its_step_is_named_with_the_bake_that_would_do(
    step: Watch, rule: str, bake_s: float
) -> None:
    assert rules(step) == [(0, rule, bake_s)]
    assert rules(replace(step, bake_s=bake_s)) == []


def test_a_step_for_a_group_is_called_by_the_group_and_not_by_the_share_that_it_has_not() -> None:
    (said,) = remarks(blind_guards([replace(BUYS, share=NOBODY, group="staff")], change()))
    assert said.startswith("blind-business: orders at group staff: business counts a user 10m after")


def test_a_step_with_the_guards_of_every_change_has_no_blind_one() -> None:
    assert rules(BARE, replace(BARE, share=EVERYBODY)) == []


def test_what_earlier_steps_have_gathered_counts_for_guards_that_go_on_over_all_steps() -> None:
    later = replace(BUYS, share=Share(2500), bake_s=560.0)
    assert rules(BUYS, later) == [(0, "blind-business", 610.0)]
    assert [position for position, *_ in rules(FILLS, FILLS, replace(FILLS, share=EVERYBODY))] == [0]
    assert [position for position, *_ in rules(PAYS, PAYS)] == [0, 1]


def test_how_full_a_version_is_can_be_too_late_also_without_an_old_one() -> None:
    assert rules(replace(FILLS, share=EVERYBODY)) == [(0, "blind-saturation", 110.0)]


def test_where_nothing_is_ever_compared_the_guards_that_compare_are_named() -> None:
    alone = replace(BUYS, share=EVERYBODY)
    asked = change(guards="guards: { warm_up: 30s, crashes: { limit: 5 } }\n")
    assert rules(alone, of=asked) == [(0, "no-baseline", None)]
    (said,) = remarks(blind_guards([alone], asked))
    assert said.startswith("no-baseline: orders at 100%: no user is left with the old version, so business, warm_up, ")
    assert rules(replace(BUYS, bake_s=700.0), alone, of=asked) == []


def test_shares_of_users_say_nothing_where_a_group_comes_on_top() -> None:
    asked, unasked = change(guards="guards: { sample_ratio: true }\n"), change()
    staff = replace(BARE, sample_ratio=True, group="staff", evidence="required")
    assert rules(staff, of=asked) == [(0, "blind-sample-ratio", None)]
    assert [each.code for each in refusals(blind_guards([staff], asked), asked)] == ["blind-guard"]
    assert rules(staff, of=unasked) == []
    alone = replace(BARE, sample_ratio=True, share=EVERYBODY)
    assert rules(alone, of=asked) == [(0, "no-baseline", None)]
    assert rules(alone, of=unasked) == []


@pytest.mark.parametrize("share", [Share(50), Share(9990)])
def test_a_share_that_is_too_small_for_groups_is_named(share: Share) -> None:
    assert rules(replace(BARE, errors_by="groups", share=share, bake_s=86_400.0)) == [(0, "blind-groups", None)]


@pytest.mark.parametrize(
    ("more", "evidence", "codes"),
    [("", "required", ["blind-guard"]), (", accept_blind: true", "required", []), ("", "observed", [])],
)
def test_a_step_that_must_have_evidence_is_refused_with_a_blind_guard_unless_the_user_knows(
    more: str, evidence: str, codes: list[str]
) -> None:
    of = change(more)
    found = blind_guards([replace(BUYS, evidence=evidence)], of)  # type: ignore[arg-type]
    assert [each.code for each in refusals(found, of)] == codes
    assert "bake: 10m10s would do" in found[0].text
