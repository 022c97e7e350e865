"""Follows the chain of hashes over the whole journal."""

from typing import Any

from hitless.store.chain import Chain, follow
from hitless.store.postgres import Store


async def audit(store: Store, expected: str = "") -> dict[str, Any]:
    """Return how many facts are as they were written; `broken` names the first that is not.

    `expected` is the head of an earlier look: the chain must still go through it.
    """
    chain = Chain(expected=expected)
    while not chain.broken and (lines := await store.links(chain.facts)):
        chain = follow(chain, lines)
    chain = chain.at_end()
    broken = {"position": chain.position, "text": chain.broken} if chain.broken else None
    return {"facts": chain.facts, "head": chain.head, "broken": broken}
