"""The page with one click, which the versions 2.1 and 2.2 of web show to whoever has the flag `one-click`."""

from html import escape
from typing import Any

from shop.http import Answer, Request, Response
from shop.session import Session
from shop.web import Web, items

FLAG = "one-click"


class OneClick(Web):
    """Calls people by their first name, which accounts 1.2 tells."""

    async def handle(self, request: Request) -> Answer:
        answer = await super().handle(request)
        if isinstance(answer, Response) and self._flags.on(FLAG, request.headers, request.user):
            return self.with_one_click(answer)
        return answer

    def with_one_click(self, page: Response) -> Response:
        """The page of who has the flag."""
        page.body += b"<p><button>Buy this with one click</button></p>"
        return page

    def page(self, session: Session, account: dict[str, Any], orders: list[dict[str, Any]]) -> str:
        name = account.get("first_name") or account.get("name")
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>The shop with one click</title>"
            f"<h1>The shop with one click</h1><p>Hello {escape(str(name))}, this is visit {session.visits}.</p>"
            f"<h2>Your orders</h2><ul>{items(orders)}</ul>"
        )
