"""The acts of the demo, in the order in which they are played. Another act is another entry of ACTS."""

from collections.abc import Callable
from dataclasses import dataclass

from hitless.app.demo import whole
from hitless.app.demo.stage import Fact, Stage
from hitless.kit.errors import Exit


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is shown. `play` raises ActFailed if it does not go as `title` says; what it changed stays."""

    title: str
    play: Callable[[Stage], None]


def _blue_green(stage: Stage) -> None:
    stage.apply("bluegreen-web")


def _canary(stage: Stage) -> None:
    stage.apply("canary-orders")


def _killed(stage: Stage) -> None:
    """Kill the controller while the first of two instances is being watched."""
    killed = False

    def kill_once(fact: Fact) -> None:
        nonlocal killed
        if killed or fact["fact"] != "started" or not fact["step"].startswith("watch"):
            return
        killed = True
        old, new = stage.kill("controller")
        stage.tell(f"  $ kill -9 {old}     the controller is dead; requests go on; {new} reads the journal and goes on")

    stage.apply("rolling-accounts", on_fact=kill_once)


def _flag(stage: Stage) -> None:
    """Web asks for the flag by the stock OpenFeature SDK; each stage waits until both its instances have it."""
    stage.apply("new-checkout")
    clients = stage.hitless("flags", "clients")["clients"]
    stage.tell(f"  {sum(each['has_it'] for each in clients)} of {len(clients)} clients have it")


def _broken(stage: Stage) -> None:
    stage.broken.add(("orders", "1.3"))
    stage.apply("broken-orders", expect=Exit.ROLLED_BACK)


def _two_percent(stage: Stage) -> None:
    stage.broken.add(("orders", "1.2"))
    ran = stage.apply("two-percent", expect=Exit.ROLLED_BACK)
    verdict = stage.hitless("show", ran.run)["verdicts"][-1]
    stage.tell(f"  verdict: {verdict['reason']}")


ACTS: tuple[Act, ...] = (
    Act("Blue-green: web 1.0 -> 2.0, everybody at one stroke", _blue_green),
    Act("Canary: orders 1.0 -> 1.1, for 1, 5, 25 and 100 % of the users", _canary),
    Act("Rolling: accounts 1.0 -> 1.1, and kill -9 of the controller in the middle", _killed),
    Act("A flag: new-checkout for staff, 5 %, 50 %, everyone, with no new version of anything", _flag),
    Act("A broken version: orders 1.3 fails 60 % of its requests and is taken back by itself", _broken),
    Act("A bug that nobody notices: orders 1.2 fails 2 %; a few hundred requests are enough to know", _two_percent),
    Act(
        "One change of schema, two services and a flag; where the flag is on it fails: all of it is taken back",
        whole.broken,
    ),
    Act("The same with the bug mended, and three more kill -9", whole.whole),
)
