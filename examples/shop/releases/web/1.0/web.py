"""Web 1.0."""

from html import escape
from typing import Any

from shop.server import serve
from shop.session import Session
from shop.web import Web, items


class Plain(Web):
    """A plain page."""

    def page(self, session: Session, account: dict[str, Any], orders: list[dict[str, Any]]) -> str:
        return (
            f"<!doctype html><title>Shop</title><h1>Shop</h1><p>Hello {escape(str(account.get('name')))}, "
            f"visit {session.visits}.</p><ul>{items(orders)}</ul>"
        )


if __name__ == "__main__":
    serve(Plain)
