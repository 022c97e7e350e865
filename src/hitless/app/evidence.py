"""What the guards of a run have found so far, kept in the store."""

from hitless.store.postgres import Store


class StoredEvidence:
    """Implements `hitless.signals.ports.Evidence`; the store fences every write by the controller's epoch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, run: str, service: str) -> bytes | None:
        """Return what was kept last for a service of a run."""
        return await self._store.evidence(run, service)

    async def keep(self, run: str, service: str, state: bytes) -> None:
        """Keep it; at the return it is on disk."""
        await self._store.keep_evidence(run, service, state)
