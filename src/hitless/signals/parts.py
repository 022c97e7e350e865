"""Equal groups of users in both arms, made by the hash that decides who meets which version. Pure.

The recorder knows no shares, so it counts by cells of buckets; who compares folds them into groups of one size, of
which some lie wholly below the share (the canary's) and the rest wholly above.
"""

from collections.abc import Mapping

from hitless.kit.units import BUCKETS, Share

CELL = 50  # buckets: half a percent of the users
CELLS = BUCKETS // CELL
GROUPS = 5  # in the smaller arm, where it has as many cells

Part = tuple[int, int]  # users, bad users
Groups = tuple[Part, ...]


def groups(share: Share, canary: Mapping[int, Part], baseline: Mapping[int, Part]) -> tuple[Groups, Groups]:
    """Return the groups of canary and baseline from their cells; none where the share is too small for two."""
    ours = share.buckets // CELL
    first = -(-share.buckets // CELL)  # a cell that both arms share is in neither
    theirs = CELLS - first
    if min(ours, theirs) < 2:
        return (), ()
    size = max(1, min(ours, theirs) // GROUPS)
    return _fold(canary, 0, ours, size), _fold(baseline, first, theirs, size)


def _fold(cells: Mapping[int, Part], first: int, many: int, size: int) -> Groups:
    folded = [[0, 0] for _ in range(many // size)]
    for cell, (users, bad) in cells.items():
        group = (cell - first) // size
        if cell >= first and group < len(folded):
            folded[group][0] += users
            folded[group][1] += bad
    return tuple((users, bad) for users, bad in folded)
