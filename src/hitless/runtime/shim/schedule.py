"""When a process that ended is started again. Pure."""

FIRST_DELAY_S = 0.1
STABLE_S = 10.0  # who lived this long is no crash loop: its next restart is immediate again


def next_streak(streak: int, lived_s: float) -> int:
    """Return how many exits in a row were quick, this one included."""
    return 1 if lived_s >= STABLE_S else streak + 1


def delay_s(streak: int, longest_s: float) -> float:
    """Return the wait before the next start: none after the first quick exit, then 0.1 s doubling up to the longest."""
    if streak <= 1:
        return 0.0
    return float(min(longest_s, FIRST_DELAY_S * 2 ** min(streak - 2, 16)))
