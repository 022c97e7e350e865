"""Draws docs/verdict.svg from three real runs: evidence over time, the threshold, and the decision.

python bench/verdict/picture.py > docs/verdict.svg
"""

import math

import numpy as np
from streams import make

from hitless.verdict import Arm, Errors, Tick, Verdict

SECONDS, ALPHA = 1200, 0.01
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 480, 70, 40, 40, 120
LOW, HIGH = -2.2, 3.0  # powers of ten on the axis
RUNS = (
    ("healthy: the evidence stays low", "#3a7d44", "6 4", 1.0, 0),
    ("fails 3x as often from the start", "#b3261e", "", 3.0, 0),
    ("fails 3x as often from minute 10 on", "#1f5fa8", "2 3", 3.0, 600),
)


def evidence(ratio: float, onset: int) -> list[tuple[int, float, str]]:
    """Return (second, evidence, kind) of a run of 1,000 requests/s, 5 % of them the canary's, 0.1 % bad."""
    streams = make(np.random.default_rng(11), rps=1000, split=0.05, p=0.001, ratio=ratio, onset=onset, seconds=SECONDS)
    verdict, points = Verdict([Errors()], alpha=ALPHA), []
    columns = (streams.canary, streams.canary_bad, streams.baseline, streams.baseline_bad)
    for t, (n, c, m, b) in enumerate(zip(*(part.tolist() for part in columns), strict=True)):
        decision = verdict.feed(Tick(t, Arm(n, c), Arm(m, b)))
        points.append((t + 1, decision.e_value, decision.kind))
        if decision.kind == "roll back":
            break
    return points


def x(second: float) -> float:
    return LEFT + second / SECONDS * (WIDTH - LEFT - RIGHT)


def y(value: float) -> float:
    power = min(max(math.log10(max(value, 1e-9)), LOW), HIGH)
    return TOP + (HIGH - power) / (HIGH - LOW) * (HEIGHT - TOP - BOTTOM)


def text(at_x: float, at_y: float, words: str, extra: str = "") -> str:
    return f'<text x="{at_x:.1f}" y="{at_y:.1f}" {extra}>{words}</text>'


def frame() -> list[str]:
    """Return axes, grid and threshold."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        "<title>Evidence against the canary over time, with the threshold at which it is rolled back</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(
            LEFT,
            22,
            "evidence that the canary is worse; 1,000 requests/s, 5 % to the canary, 0.1 % of the old version's fail",
        ),
    ]
    for power in range(-2, 4):
        at = y(10.0**power)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#dddddd"/>')
        out.append(text(LEFT - 8, at + 4, f"{10.0**power:g}", 'text-anchor="end"'))
    middle = 'text-anchor="middle"'
    out += [text(x(m * 60), HEIGHT - BOTTOM + 20, f"{m} min", middle) for m in range(0, SECONDS // 60 + 1, 5)]
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, "time since the first user", middle))
    line = y(1 / ALPHA)
    out.append(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}" stroke="#000000" stroke-width="2"/>'
    )
    out.append(text(WIDTH - RIGHT, line + 17, "threshold 1/alpha = 100: roll back", 'text-anchor="end"'))
    return out


def curve(index: int) -> list[str]:
    """Return one run, its end and its line in the legend."""
    name, colour, dash, ratio, onset = RUNS[index]
    points = evidence(ratio, onset)
    every = 3 if len(points) > 300 else 1
    path = " ".join(f"{x(second):.1f},{y(value):.1f}" for second, value, _ in (*points[::every], points[-1]))
    style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    below = HEIGHT - BOTTOM + 62 + 19 * index
    out = [
        f'<polyline points="{path}" fill="none" {style}/>',
        f'<line x1="{LEFT}" x2="{LEFT + 40}" y1="{below - 4}" y2="{below - 4}" {style}/>',
        text(LEFT + 50, below, name, f'fill="{colour}"'),
    ]
    second, value, kind = points[-1]
    if kind == "roll back":
        out.append(f'<circle cx="{x(second):.1f}" cy="{y(value):.1f}" r="5" fill="{colour}"/>')
        out.append(text(x(second) + 9, y(value) - 6, f"rolled back after {second - onset} s", f'fill="{colour}"'))
    return out


if __name__ == "__main__":
    print("\n".join([*frame(), *(line for index in range(len(RUNS)) for line in curve(index)), "</svg>"]))
