"""The absolute circuit breaker: no statistics, for what is plainly broken. Pure."""

from collections import deque


class Breaker:
    """Trips when at least `share` of at least `requests` requests within `window_s` seconds are bad."""

    def __init__(self, requests: int = 20, share: float = 0.5, window_s: int = 5) -> None:
        self._requests, self._share, self._window_s = requests, share, window_s
        self._seconds: deque[tuple[int, int, int]] = deque()  # second, requests, bad

    def feed(self, second: int, requests: int, bad: int) -> bool:
        """Take the counts of one second, in order of time; tell whether it trips now."""
        self._seconds.append((second, requests, bad))
        while self._seconds[0][0] <= second - self._window_s:
            self._seconds.popleft()
        total, failed = (sum(each[part] for each in self._seconds) for part in (1, 2))
        return total >= self._requests and failed >= self._share * total
