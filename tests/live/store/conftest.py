"""A store on a fresh database, taken over by a controller."""

from collections.abc import AsyncIterator

import pytest

from hitless.store.postgres import Store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await Store.open(database_url)
    await store.migrate()
    await store.take_over({"pid": 1})
    yield store
    await store.close()
