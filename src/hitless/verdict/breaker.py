"""The absolute circuit breaker: no statistics, for what is plainly broken. Pure."""

from collections import deque


class Breaker:
    """Trips when at least `share` of at least `requests` requests within `window_s` seconds are bad."""

    __slots__ = ("_bad", "_requests", "_seconds", "_share", "_total", "window_s")

    def __init__(self, requests: int = 20, share: float = 0.5, window_s: int = 5) -> None:
        self._requests, self._share, self.window_s = requests, share, window_s
        self._seconds: deque[tuple[int, int, int]] = deque()  # second, requests, bad
        self._total = self._bad = 0  # in the window

    @property
    def seconds(self) -> list[tuple[int, int, int]]:
        """The counts of the window: second, requests, bad."""
        return list(self._seconds)

    def feed(self, second: int, requests: int, bad: int) -> bool:
        """Take the counts of one second, in order of time; tell whether it trips now."""
        self._seconds.append((second, requests, bad))
        self._total += requests
        self._bad += bad
        while self._seconds[0][0] <= second - self.window_s:
            _, old, old_bad = self._seconds.popleft()
            self._total -= old
            self._bad -= old_bad
        return self._total >= self._requests and self._bad >= self._share * self._total
