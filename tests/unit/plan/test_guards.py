"""`guards:` of a change file: what is taken, and what is refused with a sentence that says why."""

import pytest

from hitless.kit.errors import InvalidInput
from hitless.plan.change import read_change
from hitless.plan.guards import Guards


def guards(text: str) -> Guards:
    return read_change(f"change: c\nservices: {{ web: {{ to: '2' }} }}\nguards: {text}\n", file="c.yaml").guards


def test_without_a_word_errors_latency_and_crashes_are_watched_and_the_comparison_itself() -> None:
    plain = guards("{}")
    assert (plain.errors.by, plain.crashes.limit, plain.sample_ratio, plain.placebo) == ("users", 2, False, True)
    assert (plain.business, plain.saturation, plain.warm_up) == (None, None, 0.0)


def test_every_guard_can_be_asked_for() -> None:
    asked = guards(
        "{ warm_up: 30s, errors: { by: groups }, crashes: { limit: 5 }, placebo: false, sample_ratio: false,"
        " business: { at: orders, within: 30m, margin: 5% },"
        " saturation: { url: 'http://p:9090', load: pool, limit: 80%, long: 2m } }"
    )
    assert asked.business is not None
    assert (asked.business.within, asked.business.margin, asked.business.method) == (1800.0, 0.05, "POST")
    assert asked.saturation is not None
    assert (asked.saturation.limit, asked.saturation.long) == (0.8, 120.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{ errors: { by: group } }", "errors.by"),
        ("{ errors: { by: groups, worse: 2x } }", "groups are compared without a tolerance"),
        ("{ crashes: { limit: 0 } }", "crashes.limit"),
        ("{ crashes: { limit: '2' } }", "crashes.limit"),
        ("{ warm_up: 2h }", "warm_up is at most 1h"),
        ("{ warm_up: 30 }", "no duration"),
        ("{ business: { method: POST } }", "business.at"),
        ("{ business: { at: orders, method: BUY } }", "business.method"),
        ("{ business: { at: orders, within: 2d } }", "within is from 1s to 1d"),
        ("{ business: { at: orders, margin: 60% } }", "more than 50%"),
        ("{ business: { at: orders, service: accounts } }", "guards.business names 'accounts'"),
        ("{ saturation: { load: pool } }", "prometheus needs a url"),
        ("{ saturation: { source: opentelemetry, load: pool, limit: 0% } }", "0% is always reached"),
        ("{ saturation: { source: opentelemetry, load: pool, limit: 120% } }", "over 100%"),
        ("{ saturation: { source: opentelemetry, load: pool, long: 5s } }", "long is from one `every` to 1h"),
        ("{ sample_ratio: 2% }", "sample_ratio"),
        ("{ metrics: { errors: { source: opentelemetry, requests: a, bad: b } } }", "a guard of ours has this name"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        guards(text)
    assert says in str(refused.value)
    assert refused.value.exit == 2


def test_of_several_services_a_guard_must_name_the_one_it_watches() -> None:
    text = "change: c\nservices: { web: { to: '2' }, api: { to: '2' } }\nguards: { business: { at: orders } }\n"
    with pytest.raises(InvalidInput, match=r"guards\.business must name its service"):
        read_change(text, file="c.yaml")
