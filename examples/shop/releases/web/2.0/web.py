"""Web 2.0: a new look, and the balance."""

from html import escape
from typing import Any

from shop.server import serve
from shop.session import Session
from shop.web import Web, items

STYLE = "body{font:16px/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}header{color:#0a6}"


class Styled(Web):
    """A page with a look."""

    def page(self, session: Session, account: dict[str, Any], orders: list[dict[str, Any]]) -> str:
        euros = account.get("balance_cents", 0) / 100
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>The new shop</title><style>{STYLE}</style>"
            f"<header><h1>The new shop</h1></header><p>Welcome {escape(str(account.get('name')))}, "
            f"this is visit {session.visits}; you have {euros:.2f} €.</p><h2>Your orders</h2><ul>{items(orders)}</ul>"
        )


if __name__ == "__main__":
    serve(Styled)
