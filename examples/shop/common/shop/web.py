"""Web: the page that people see. What all versions have in common."""

import asyncio
from html import escape
from typing import Any
from urllib.parse import quote

from shop.calls import Called, Calls
from shop.flags import Flags
from shop.http import Answer, Request, Response, Wrong
from shop.server import Service
from shop.session import Session, Sessions


class Web(Service):
    """`/`: a page made from what orders and accounts say; a session in a signed cookie survives every version."""

    name = "web"

    def __init__(self) -> None:
        super().__init__()
        self._orders = Calls("orders")
        self._accounts = Calls("accounts")
        self._sessions = Sessions()
        self._flags = Flags()

    async def handle(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise Wrong(405, "this page is only read")
        if request.path != "/":
            raise Wrong(404, f"no {request.path}")
        session = self._sessions.visit(request.cookies)
        orders, account = await asyncio.gather(
            self._orders.get("/orders?limit=5", request.passed_on),
            self._accounts.get(f"/accounts/{quote(request.user, safe='')}", request.passed_on),
        )
        new_checkout = self._flags.on("new-checkout", request.headers, request.user)
        page = self.page(session, account.value or {}, (orders.value or {}).get("orders", []))
        page += f"<p><button>{'Buy with one click' if new_checkout else 'Go to the checkout'}</button></p>"
        headers = self._headers(session, orders, account) | {"X-Checkout": "new" if new_checkout else "old"}
        return Response(200, page.encode(), "text/html; charset=utf-8", headers)

    def page(self, session: Session, account: dict[str, Any], orders: list[dict[str, Any]]) -> str:
        """The page; each version has its own look."""
        raise NotImplementedError

    def _headers(self, session: Session, orders: Called, account: Called) -> dict[str, str]:
        return {
            "Set-Cookie": self._sessions.cookie(session),
            "X-Called": f"orders={orders.version}, accounts={account.version}",
        }


def items(orders: list[dict[str, Any]]) -> str:
    """The orders as list items."""
    return "".join(f"<li>{escape(str(order.get('item')))}</li>" for order in orders) or "<li>nothing yet</li>"
