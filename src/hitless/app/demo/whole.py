"""The whole story: one change across code, schema and a flag; taken back when it is bad, and going through when not."""

from collections.abc import Callable

from hitless.app.account_text import markdown
from hitless.app.demo import rows
from hitless.app.demo.stage import ActFailed, Fact, Stage
from hitless.kit.errors import Exit

FLAG = "one-click"
CALLED = {"flags": "flag server"}  # what people call a process of ours


def killing(stage: Stage, victims: dict[str, str]) -> Callable[[Fact], None]:
    """Return what kills a process with -9 when a step begins: what the step is called -> which process, once each."""
    left = dict(victims)

    def look(fact: Fact) -> None:
        step = str(fact["step"])
        if fact["fact"] != "started" or (found := next((each for each in left if each in step), None)) is None:
            return
        process = left.pop(found)
        old, new = stage.kill(process)
        name = CALLED.get(process, process)
        stage.tell(f"  $ kill -9 {old}     the {name} is dead; requests go on; {new} takes its place")

    return look


def broken(stage: Stage) -> None:
    """The bug shows only where the flag is on; flag, traffic, code and schema go back, in this order."""
    stage.broken.add(("web", "2.1"))
    victims = {"backfill": "controller", "10% of users to 2.1": "flags"}
    stage.apply("one-click-broken", expect=Exit.ROLLED_BACK, on_fact=killing(stage, victims))
    found = {name: service["versions"] for name, service in stage.hitless("status")["services"].items()}
    left = sorted(f"{name} {each['version']}" for name, there in found.items() for each in there if each["share"] > 0)
    stage.tell(f"  as it was: {', '.join(left)}; the flag is off for everybody, the schema is 0001_shop alone")
    if {"web 2.1", "accounts 1.2"} & set(left):
        raise ActFailed("demo-failed", f"taken back, and still there: {', '.join(left)}")


def whole(stage: Stage) -> None:
    """The same change with the bug mended, with three more kills on the way."""
    victims = {"verify": "controller", "10% of users to 1.2": "recorder", f"flag {FLAG}": "controller"}
    ran = stage.apply("one-click", on_fact=killing(stage, victims))
    stage.compared = rows.compare(stage.state)
    stage.tell(f"  {stage.compared.rows} rows on both schema versions, {stage.compared.differing} differ")
    refused = stage.hitless("contract", ran.run, "--yes", expect=Exit.REFUSED)
    stage.tell(f"$ hitless contract {ran.run}")
    stage.tell(f"  refused: {refused['text']}")
    stage.account = markdown(stage.hitless("show", ran.run, "--report", "json"))
