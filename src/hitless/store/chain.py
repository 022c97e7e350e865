"""The chain of hashes over the journal; followed from its start, it names the first that is not as written. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """How far the chain holds."""

    facts: int = 0
    hash: bytes = b""  # of the last fact that was looked at
    position: int = 0  # of that fact
    broken: str = ""  # why it holds no further; empty: it does
    expected: str = ""  # a head of earlier that must still lie on the chain; empty: none

    @property
    def head(self) -> str:
        """Name the end of the chain: how many facts, and their hash. Kept elsewhere, it shows that none was cut off."""
        return f"{self.facts}:{self.hash.hex()}"

    def at_end(self) -> "Chain":
        """Return the chain once all facts were looked at: one that ends before the expected head was cut off."""
        wanted = int(self.expected.partition(":")[0] or 0)
        if self.broken or wanted <= self.facts:
            return self
        return replace(self, broken=f"{wanted - self.facts} facts at the end are gone")


def follow(chain: Chain, lines: Iterable[Mapping[str, Any]]) -> Chain:
    """Look at more facts, in the order in which they were chained; stops at the first that does not hold."""
    for line in lines:
        if chain.broken:
            return chain
        chain = _look(chain, line)
    return chain


def _look(chain: Chain, line: Mapping[str, Any]) -> Chain:
    position = line["position"]
    if line["number"] is None:
        return replace(chain, position=position, broken=f"fact {position} was written past the chain")
    if line["run"] is None:
        return replace(chain, position=position, broken=f"fact {position} is gone")
    if line["number"] != chain.facts + 1:
        return replace(chain, position=position, broken=f"the facts before {position} are gone")
    expected = hashlib.sha256(chain.hash + _written(line)).digest()
    if expected != bytes(line["hash"]):
        return replace(chain, position=position, broken=f"fact {position} of {line['run']}, or its plan, was changed")
    longer = replace(chain, facts=chain.facts + 1, hash=expected, position=position)
    if longer.expected.startswith(f"{longer.facts}:") and longer.expected != longer.head:
        return replace(chain, position=position, broken=f"fact {position}, or one before it, was written anew")
    return longer


def _written(line: Mapping[str, Any]) -> bytes:
    names = ("position", "run", "at_us", "epoch", "fact", "plan_hash", "body")
    return "\n".join(str(line[name]) for name in names).encode()
