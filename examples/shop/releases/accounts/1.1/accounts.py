"""Accounts 1.1: tells a tier."""

from typing import Any

from shop.accounts import Accounts
from shop.server import serve

GOLD_CENTS = 100_000


class AccountsWithTier(Accounts):
    """As 1.0, and a tier."""

    def shown(self, account: dict[str, Any]) -> dict[str, Any]:
        return account | {"tier": "gold" if account["balance_cents"] >= GOLD_CENTS else "basic"}


if __name__ == "__main__":
    serve(AccountsWithTier)
