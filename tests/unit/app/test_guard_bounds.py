"""Whatever a change file may say of its guards can be watched: a bound that is accepted is one of the verdict too."""

import pytest

from hitless.app.guarding import conversion_of, loads_of, metrics_of
from hitless.kit.errors import InvalidInput
from hitless.kit.units import Share
from hitless.plan.change import read_change
from hitless.signals.comparison import Comparison
from hitless.signals.steps import Watch

PROMETHEUS = "url: 'http://p:9090', service: web"


def comparison(guards: str) -> Comparison:
    said = read_change(f"change: c\nservices: {{ web: {{ to: '2' }} }}\nguards: {guards}\n", file="c.yaml").guards
    return Comparison(
        Watch(
            service="web",
            baseline="a",
            canary="b",
            share=Share(500),
            alpha=said.alpha,
            errors_worse=said.errors.worse,
            errors_by=said.errors.by,
            latency_worse=said.latency.worse,
            latency_at=said.latency.at,
            metrics=tuple(metrics_of(said, "web")),
            loads=tuple(loads_of(said, "web")),
            conversion=conversion_of(said, "web"),
            sample_ratio=True,
        )
    )


@pytest.mark.parametrize(
    "guards",
    [
        *(
            f"{{ {name}: {{ worse: {ratio} }} }}"
            for name in ("errors", "latency")
            for ratio in ("1x", "1000x", "1000.0x")
        ),
        *(f"{{ alpha: {part} }}" for part in ("0.01%", "20%")),
        *(f"{{ business: {{ at: cart, margin: {part} }} }}" for part in ("0%", "50%")),
        *(
            f"{{ saturation: {{ {PROMETHEUS}, load: x, limit: {part}, every: 1s, long: {long} }} }}"
            for part in ("0.01%", "100%")
            for long in ("1s", "1h")
        ),
        *(
            f"{{ metrics: {{ m: {{ {PROMETHEUS}, requests: r, bad: b, worse: {ratio} }} }} }}"
            for ratio in ("1x", "1000x")
        ),
        *(f"{{ latency: {{ at: {at} }} }}" for at in ("p50", "p90", "p95", "p99")),
    ],
)
def test_every_bound_that_a_change_file_may_name_makes_a_verdict(guards: str) -> None:
    assert comparison(guards).decision.kind == "continue"


@pytest.mark.parametrize("guards", ["{ errors: { worse: 1000.1x } }", "{ latency: { worse: 0.9x } }", "{ alpha: 0% }"])
def test_beyond_the_bounds_a_change_file_is_refused(guards: str) -> None:
    with pytest.raises(InvalidInput):
        comparison(guards)


def test_a_finer_alpha_than_there_is_is_refused_with_the_smallest_one() -> None:
    with pytest.raises(InvalidInput, match=r"0\.01%, the smallest"):
        comparison("{ alpha: 0.0001% }")
