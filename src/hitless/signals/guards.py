"""The guards of a watch, each with its part of alpha, and what they see in one second. Pure."""

from collections.abc import Iterable

from hitless.plan.instances import SLOTS, Slot
from hitless.signals.metrics import Full, Window
from hitless.signals.parts import groups
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.verdict import Arm, Business, Crashes, Errors, Exchangeable, Latency, SampleRatio, Saturation, Tick
from hitless.verdict.guard import Guard

FINE_BELOW = 2.0  # times the errors of the baseline; more where more is tolerated
# Parts of alpha, in proportion. The guards of one line share its part.
ERRORS, LATENCY, CRASHES = 0.6, 0.25, 0.02
GROUPS = 0.02  # what is left to go by once errors turn out to be clustered
SHARES = 0.05  # of alpha itself: to be held because shares of users look off, though they are not
ELSEWHERE, METRICS, BUSINESS = 0.15, 0.3, 0.1
AT = "errors at "  # name of a guard on another service
METRIC = "metric "  # before the name of a counter, so that it is no service
OUTCOMES = "outcomes of users"  # no name of a service either

NOTHING = ArmCount()
Ends = tuple[tuple[int, int], tuple[int, int]]  # canary, baseline: processes that ended by themselves, and instances
NO_ENDS: Ends = ((0, 0), (0, 0))


def against(step: Watch) -> list[Guard]:
    """Return the guards that look for harm: at the service, elsewhere, in its processes, in what others measure."""
    guards: list[Guard] = [*_errors(step), Crashes(weight=CRASHES)]
    guards.append(Latency(worse=step.latency_worse, at=step.latency_at, weight=LATENCY))
    for name in step.elsewhere:
        part = ELSEWHERE / len(step.elsewhere)
        guards.append(Errors(worse=step.errors_worse, on=name, name=f"{AT}{name}", weight=part))
    for metric in step.metrics:
        part = METRICS / len(step.metrics)
        guards.append(Errors(worse=metric.worse, on=f"{METRIC}{metric.name}", name=metric.name, weight=part))
    if step.conversion is not None:
        guards.append(Business(on=OUTCOMES, margin=step.conversion.margin, weight=BUSINESS))
    return guards + [
        Saturation(limit=load.limit, for_s=load.full_s, on=f"{METRIC}{load.name}", name=load.name)
        for load in step.loads
    ]


def _errors(step: Watch) -> list[Guard]:
    if step.errors_by == "groups":
        return [Exchangeable(weight=ERRORS)]
    by_user = Errors(worse=step.errors_worse, weight=ERRORS)
    return [by_user, Exchangeable(weight=GROUPS)] if step.placebo else [by_user]


def fine(step: Watch) -> list[Guard]:
    """Return the guard that asks whether a version is fine."""
    limit = max(FINE_BELOW, step.errors_worse)
    return [Errors(worse=step.errors_worse, fine_below=limit)]


def shares(step: Watch) -> list[Guard]:
    """Return the guard of the comparison itself; none where no share of new users is meant.

    A group is chosen, not drawn, and comes on top of the share.
    """
    drawn = step.sample_ratio and not step.group and 0.0 < step.share.fraction < 1.0
    return [SampleRatio(share=step.share.fraction, alpha=step.alpha * SHARES / step.stages)] if drawn else []


def alpha_against(step: Watch) -> float:
    """Return what is left of alpha for the guards that look for harm."""
    return step.alpha * (1.0 - SHARES) if step.sample_ratio else step.alpha


def tick(second: Second, step: Watch, windows: Iterable[Window | Full], ends: Ends = NO_ENDS) -> Tick:
    """Return what both arms felt in a second; one with lost records shows nothing of either."""
    places = dict(_measured(each) for each in windows)
    if second.lost:
        return Tick(second.at, None, None, places)
    for name in step.elsewhere:
        places[name] = _pair(step, {slot: second.elsewhere.get((step.service, slot, name)) for slot in SLOTS})
    if step.conversion is not None:
        places[OUTCOMES] = _pair(step, {slot: second.outcomes.get((step.service, slot)) for slot in SLOTS})
    canary, baseline = (second.arms.get((step.service, slot), NOTHING) for slot in (step.canary, step.baseline))
    ours, theirs = groups(step.share, canary.parts, baseline.parts) if _needs_groups(step) else ((), ())
    return Tick(second.at, _arm(canary, ends[0], ours), _arm(baseline, ends[1], theirs), places)


def alone(second: Second, windows: Iterable[Window | Full]) -> Tick:
    """Return what shows of the new version where nothing is compared."""
    return Tick(second.at, None, None, dict(_measured(each) for each in windows if isinstance(each, Full)))


def _needs_groups(step: Watch) -> bool:
    return step.placebo or step.errors_by == "groups"


def _measured(each: Window | Full) -> tuple[str, tuple[Arm | None, Arm | None]]:
    name = f"{METRIC}{each.metric}"
    if isinstance(each, Full):
        return name, (Arm(0, 0, load=each.canary), Arm(0, 0, load=each.baseline))
    if each.canary is None or each.baseline is None:
        return name, (None, None)
    return name, (_plain(each.canary), _plain(each.baseline))


def _pair(step: Watch, counts: dict[Slot, ArmCount | None]) -> tuple[Arm, Arm]:
    return _plain(counts[step.canary] or NOTHING), _plain(counts[step.baseline] or NOTHING)


def _arm(count: ArmCount, ends: tuple[int, int], parts: tuple[tuple[int, int], ...]) -> Arm:
    ended, instances = ends
    return Arm(
        count.users,
        count.bad_users,
        count.latency,
        crashes=ended,
        instances=instances,
        users=count.assigned,
        parts=parts,
    )


def _plain(count: ArmCount) -> Arm:
    return Arm(count.users, count.bad_users)
