"""Orders: take them, list them, follow them. What all versions have in common."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from shop.calls import Calls
from shop.database import Database
from shop.http import Answer, Request, Stream, Upgrade, Wrong, as_json
from shop.server import Service, lines_of
from shop.websocket import Websocket

TABLE = """
    CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        reference text NOT NULL,
        user_id text NOT NULL,
        item text NOT NULL,
        customer text NOT NULL,
        idempotency_key text UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now()
    )"""
# The reference is the client's own name for an order; it is not unique, so that an order taken twice is seen.
INDEXES = ("CREATE INDEX orders_user ON orders (user_id, id)", "CREATE INDEX orders_reference ON orders (reference)")
TAKE = """
    INSERT INTO orders (reference, user_id, item, customer, idempotency_key) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING id, reference, item, customer"""
FIND_KEY = "SELECT id, reference, item, customer FROM orders WHERE idempotency_key = %s AND user_id = %s"
FIND_REFERENCE = "SELECT id, reference, item, customer FROM orders WHERE reference = %s ORDER BY id LIMIT 2"
LIST = "SELECT id, reference, item, customer FROM orders WHERE user_id = %s ORDER BY id DESC LIMIT %s"
LAST = "SELECT coalesce(max(id), 0) FROM orders"
NEWER = "SELECT id, reference, item, customer FROM orders WHERE id > %s ORDER BY id LIMIT 20"
TEXT_LIMIT = 200
LONG_ONES = 200  # streams, downloads and websockets at once


class Orders(Service):
    """`/orders`: GET lists, POST takes; `/orders/stream`, `/orders/download?seconds=`, `/orders/ws` last long."""

    name = "orders"

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self._accounts = Calls("accounts")
        self._long = 0

    async def prepare(self) -> None:
        await self.database.make("orders", TABLE, *INDEXES)

    async def check(self) -> None:
        await self.database.rows("SELECT 1")

    async def handle(self, request: Request) -> Answer:
        match request.method, request.path.rstrip("/"):
            case "GET", "/orders":
                return await self.list(request)
            case "POST", "/orders":
                return await self.take(request)
            case "GET", "/orders/stream":
                return Stream(self._lasting(self._events()), "text/event-stream")
            case "GET", "/orders/download":
                seconds = request.number("seconds", 10, least=0, most=3600)
                return Stream(self._lasting(lines_of(self, seconds, 0.05)), "text/plain")
            case "GET", "/orders/ws":
                return Upgrade(self._talk)
            case "GET", path if path.startswith("/orders/"):
                return await self.show(path.removeprefix("/orders/"))
        raise Wrong(404, f"no {request.method} {request.path}")

    def sql(self, statement: str) -> str:
        """A statement as this version asks it."""
        return statement

    async def list(self, request: Request) -> Answer:
        """The latest orders of the user."""
        limit = int(request.number("limit", 10, least=1, most=100))
        rows = await self.database.rows(self.sql(LIST), request.user, limit)
        return as_json({"user": request.user, "orders": [order(row) for row in rows]})

    async def show(self, reference: str) -> Answer:
        """The order with the client's reference, and how often it was taken (more than once would be a bug)."""
        rows = await self.database.rows(self.sql(FIND_REFERENCE), reference)
        if not rows:
            raise Wrong(404, f"no order {reference}")
        return as_json(order(rows[0]) | {"times": len(rows)})

    async def take(self, request: Request) -> Answer:
        """A new order; with an Idempotency-Key that was seen before, the old one again."""
        wanted = request.json()
        reference, item = text(wanted, "id"), text(wanted, "item")
        key = request.headers.get("idempotency-key")
        account = await self._accounts.get(f"/accounts/{request.user}", request.passed_on)
        customer = (account.value or {}).get("name") or request.user
        repeatable = key is not None
        rows = await self.database.rows(
            self.sql(TAKE), reference, request.user, item, customer, key, repeatable=repeatable
        )
        if rows:
            return as_json(order(rows[0]), 201)
        rows = await self.database.rows(self.sql(FIND_KEY), key, request.user)
        if not rows or rows[0][1] != reference:
            raise Wrong(409, "this Idempotency-Key belongs to another order")
        return as_json(order(rows[0]), 200)

    async def _lasting(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if self._long >= LONG_ONES:
            yield b"closed: too many at once\n"
            return
        self._long += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._long -= 1

    async def _events(self) -> AsyncIterator[bytes]:
        yield event("hello", {"version": self.version, "instance": self.instance})
        last = (await self.database.rows(self.sql(LAST)))[0][0]
        while await self.pause(0.5):
            rows = await self.database.rows(self.sql(NEWER), last)
            for row in rows:
                last = row[0]
                yield event("order", order(row))
            if not rows:
                yield b": nothing new\n\n"
        yield event("closing", {"version": self.version})

    async def _talk(self, websocket: Websocket) -> None:
        ticking = asyncio.create_task(self._tick(websocket))
        try:
            async for message in websocket:
                await websocket.send(message)
        finally:
            ticking.cancel()

    async def _tick(self, websocket: Websocket) -> None:
        number = 0
        while await self.pause(1.0):
            number += 1
            await websocket.send(json.dumps({"tick": number, "version": self.version}))


def order(row: tuple[Any, ...]) -> dict[str, Any]:
    """An order as clients see it."""
    number, reference, item, customer = row
    return {"number": number, "id": reference, "item": item, "customer": customer}


def text(values: dict[str, Any], name: str) -> str:
    """A text of bounded length. Raises Wrong."""
    value = values.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_LIMIT or "\x00" in value:
        raise Wrong(400, f"{name} must be a text of 1 to {TEXT_LIMIT} characters")
    return value


def event(name: str, value: object) -> bytes:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
