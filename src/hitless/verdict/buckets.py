"""The edges of every latency histogram: steps of 10 % from 1 ms to one minute."""

import math

EDGES = tuple(1.1**step for step in range(math.ceil(math.log(60_000) / math.log(1.1)) + 1))  # ms, ascending
