"""Accounts: who a user is, and what the user has. What all versions have in common."""

from typing import Any
from urllib.parse import unquote

from shop.database import Database
from shop.http import Answer, Request, Wrong, as_json
from shop.server import Service

TABLE = """
    CREATE TABLE accounts (
        user_id text PRIMARY KEY,
        name text NOT NULL,
        balance_cents bigint NOT NULL
    )"""
FIND = "SELECT user_id, name, balance_cents FROM accounts WHERE user_id = %s"
OPEN = "INSERT INTO accounts (user_id, name, balance_cents) VALUES (%s, %s, %s) ON CONFLICT (user_id) DO NOTHING"
WELCOME_CENTS = 10_000
USER_LIMIT = 100


class Accounts(Service):
    """`/accounts/USER` and `/accounts/USER/balance`; whoever comes for the first time gets an account."""

    name = "accounts"

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()

    async def prepare(self) -> None:
        await self.database.make("accounts", TABLE)

    async def check(self) -> None:
        await self.database.rows("SELECT 1")

    async def handle(self, request: Request) -> Answer:
        words = unquote(request.path).strip("/").split("/")
        match request.method, words:
            case "GET", ["accounts"]:
                return as_json(self.shown(await self.account(request.user)))
            case "GET", ["accounts", user]:
                return as_json(self.shown(await self.account(user)))
            case "GET", ["accounts", user, "balance"]:
                account = await self.account(user)
                return as_json({"user": user, "balance_cents": account["balance_cents"]})
        raise Wrong(404, f"no {request.method} {request.path}")

    def shown(self, account: dict[str, Any]) -> dict[str, Any]:
        """An account as clients see it."""
        return account

    async def account(self, user: str) -> dict[str, Any]:
        """The user's account, opened now if there is none."""
        self.refuse_strange(user)
        rows = await self.database.rows(FIND, user)
        if not rows:
            await self.database.rows(OPEN, user, user.replace("-", " ").title(), WELCOME_CENTS)
            rows = await self.database.rows(FIND, user)
        return dict(zip(("user", "name", "balance_cents"), rows[0], strict=True))

    @staticmethod
    def refuse_strange(user: str) -> None:
        """Raise Wrong for what no user can be called."""
        if not 1 <= len(user) <= USER_LIMIT or "\x00" in user:
            raise Wrong(400, f"a user has 1 to {USER_LIMIT} characters")
