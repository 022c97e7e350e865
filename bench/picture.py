"""Draw docs/run.svg from a real run: the shop under load, a good canary, and a broken version that is taken back.

    .venv/bin/python bench/picture.py            # about a minute; writes docs/run.svg

Everything in the picture was counted: requests by the gateway, second by second; shares and times from the journal.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from hitless.app.demo.shop import copy_shop
from hitless.app.demo.stage import Stage
from hitless.app.paths import load_system
from hitless.app.world import RecorderTicks, recorder_socket
from hitless.kit.errors import Exit
from hitless.signals.ports import Second
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile

RATE = 100.0  # requests per second
SERVICE = "orders"
OUT = Path(__file__).parents[1] / "docs" / "run.svg"
WIDTH, LEFT, RIGHT, TOP, HIGH, GAP, LOW = 960, 60, 20, 74, 190, 34, 60
OLD, NEW, BAD, INK, PALE = "#9db4c0", "#2b7a78", "#c0392b", "#24323a", "#dde4e8"


@dataclass(frozen=True)
class Drawn:
    """What the picture shows."""

    began: float
    seconds: list[Second]
    accounts: list[dict[str, Any]]
    headline: str


def play() -> Drawn:
    folder = Path(tempfile.mkdtemp(prefix="hitless-picture-"))
    stage = Stage(file=copy_shop(folder / "shop"), say=print)
    url = f"http://{load_system(stage.file).gateway.listen}"
    stage.load = Load(shop_profile(url, rate=RATE, seconds=3600.0))
    try:
        stage.hitless("up")
        stage.load.start()
        stage.broken.add((SERVICE, "1.3"))
        good = stage.apply("canary-orders")
        bad = stage.apply("broken-orders", expect=Exit.ROLLED_BACK)
        accounts = [stage.hitless("show", each.run, "--report", "json") for each in (good, bad)]
        began = accounts[0]["began"] - 2
        seconds = asyncio.run(until(stage, began, accounts[1]["ended"] + 4))
        counts = stage.counts()
    finally:
        print(stage.load.stop().to_json() | {"posts": None})
        stage.hitless("down")
        shutil.rmtree(folder, ignore_errors=True)
    headline = (
        f"{counts.total:,} requests at {RATE:g}/s, counted at the client: {counts.failed} failed that had to succeed; "
        f"{counts.failed_there} failed at the broken version"
    )
    return Drawn(began, seconds, accounts, headline)


async def until(stage: Stage, since: float, end: float) -> list[Second]:
    seconds = []
    async for second in RecorderTicks(recorder_socket(stage.state)).follow(since):
        seconds.append(second)
        if second.at >= end:
            break
    return seconds


def version_at(drawn: Drawn, at: float, slot: str) -> str:
    """The version in a slot: as the last plan that began before says."""
    known = [account for account in drawn.accounts if account["began"] <= at + 1] or drawn.accounts[:1]
    return next((str(each["versions"][SERVICE].get(slot, "")) for each in reversed(known)), "")


def svg(drawn: Drawn) -> str:
    span = drawn.seconds[-1].at + 1 - drawn.began
    most = max(sum(arm.requests for (name, _), arm in s.arms.items() if name == SERVICE) for s in drawn.seconds) * 1.15
    failed = max(1, *(sum(arm.failed - arm.saved for arm in second.arms.values()) for second in drawn.seconds))

    def x(at: float) -> float:
        return round(LEFT + (at - drawn.began) / span * (WIDTH - LEFT - RIGHT), 1)

    parts = [*frame(drawn, most, failed)]
    for second in drawn.seconds:
        left, wide = x(second.at), round(x(second.at + 1) - x(second.at) - 0.5, 1)
        floor = TOP + HIGH
        arms = {slot: arm for (name, slot), arm in second.arms.items() if name == SERVICE}
        for slot in sorted(arms, key=lambda each: version_at(drawn, second.at, each)):
            tall = round(arms[slot].requests / most * HIGH, 1)
            floor -= tall
            parts.append(
                f'<rect x="{left}" y="{floor:.1f}" width="{wide}" height="{tall}" fill="{paint(drawn, second, slot)}"/>'
            )
        bad = round(sum(arm.failed - arm.saved for arm in second.arms.values()) / failed * LOW, 1)
        base = TOP + HIGH + GAP + LOW
        parts.append(f'<rect x="{left}" y="{base - bad:.1f}" width="{wide}" height="{bad}" fill="{BAD}"/>')
    parts += [mark for account in drawn.accounts for mark in marks(account, x)]
    height = TOP + HIGH + GAP + LOW + 44
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])


def paint(drawn: Drawn, second: Second, slot: str) -> str:
    return {"1.0": OLD, "1.1": NEW}.get(version_at(drawn, second.at, slot), BAD)


def frame(drawn: Drawn, most: float, failed: int) -> Iterator[str]:
    base = TOP + HIGH + GAP + LOW
    yield text(
        LEFT, 20, "A canary that goes through, and a broken version that is taken back by itself", size=15, bold=True
    )
    yield text(LEFT, 38, drawn.headline)
    for row, (colour, label) in enumerate(
        ((OLD, "orders 1.0"), (NEW, "orders 1.1"), (BAD, "orders 1.3 and failed requests"))
    ):
        yield f'<rect x="{LEFT + 130 * row}" y="46" width="10" height="10" fill="{colour}"/>'
        yield text(LEFT + 15 + 130 * row, 55, label)
    for y, label in (
        (TOP + HIGH, "0"),
        (TOP + HIGH - HIGH / 1.15, f"{most / 1.15:.0f}"),
        (base, "0"),
        (base - LOW, str(failed)),
    ):
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{PALE}"/>'
        yield text(LEFT - 6, y + 4, label, anchor="end")
    yield text(14, TOP + HIGH / 2, "requests/s of orders", turn=True)
    yield text(14, base - LOW / 2, "failed/s", turn=True)
    span = drawn.seconds[-1].at + 1 - drawn.began
    for second in range(0, int(span) + 1, 5):
        place = LEFT + second / span * (WIDTH - LEFT - RIGHT)
        yield text(place, base + 16, f"{second} s", anchor="middle")


def marks(account: dict[str, Any], x: Any) -> Iterator[str]:
    """A line for each step that moved users, and one for the way back."""
    shares = (
        step
        for step in account["steps"]
        if step["began"] and (" users to " in step["describe"] or "everybody to" in step["describe"])
    )
    for step in shares:
        share = step["describe"].split(": ")[1].split(" of ")[0].replace("everybody to", "all to")
        yield line(x(step["began"]), share, INK)
    for each in account["people"]:
        if each["what"] == "turned-back":
            yield line(x(each["at"]), "worse: taken back", BAD, low=True)


def line(place: float, label: str, colour: str, *, low: bool = False) -> str:
    bottom = TOP + HIGH + GAP + LOW
    return (
        f'<line x1="{place}" x2="{place}" y1="{TOP - 4}" y2="{bottom}" stroke="{colour}" stroke-dasharray="2 3"/>'
        + text(place + 3, TOP + HIGH + 16 if low else TOP + 6, label, colour=colour)
    )


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 12,
    bold: bool = False,
    anchor: str = "start",
    colour: str = INK,
    turn: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
    middle = "middle" if turn else anchor
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{middle}"{weight}{turned}>{escape(words)}</text>'


if __name__ == "__main__":
    OUT.write_text(svg(play()))
    print(f"wrote {OUT}")
