"""Accounts 1.2: first and last name apart, on schema version 0002_split_name."""

from typing import Any

from shop.accounts import WELCOME_CENTS, Accounts
from shop.server import serve

FIND = "SELECT user_id, first_name, last_name, balance_cents FROM accounts WHERE user_id = %s"
OPEN = """
    INSERT INTO accounts (user_id, first_name, last_name, balance_cents) VALUES (%s, %s, %s, %s)
    ON CONFLICT (user_id) DO NOTHING"""


class AccountsWithFirstAndLastName(Accounts):
    """As 1.0, and both names."""

    async def account(self, user: str) -> dict[str, Any]:
        self.refuse_strange(user)
        rows = await self.database.rows(FIND, user)
        if not rows:
            first, _, last = user.replace("-", " ").title().partition(" ")
            await self.database.rows(OPEN, user, first, last, WELCOME_CENTS)
            rows = await self.database.rows(FIND, user)
        account = dict(zip(("user", "first_name", "last_name", "balance_cents"), rows[0], strict=True))
        return account | {"name": f"{account['first_name']} {account['last_name']}".strip()}


if __name__ == "__main__":
    serve(AccountsWithFirstAndLastName)
