"""The application of the benchmark: SELECT, UPDATE and INSERT by primary key, in two versions."""

from shop.database import Database
from shop.http import Answer, Request, Wrong, as_json
from shop.server import Service

INSERT = "INSERT INTO items (a, {}, email, status, note, payload) VALUES (0, {}, %s, 'new', 'n', repeat('z', 60)) RETURNING id"


class Items(Service):
    """`/items/user-7` reads, `/items/user-7/touch` writes, and a POST to `/items` adds a row."""

    name = "items"
    names = ("name",)  # the columns that hold it
    values = ("'Load Test'",)

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()

    async def check(self) -> None:
        await self.database.rows("SELECT 1")

    async def handle(self, request: Request) -> Answer:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["items", "added", reference]:
                rows = await self.database.rows("SELECT count(*) FROM items WHERE email = %s", reference)
                return as_json({"id": reference, "times": rows[0][0]})
            case "GET", ["items", user]:
                names = ", ".join(self.names)
                rows = await self.database.rows(f"SELECT id, {names}, a FROM items WHERE id = %s", number(user))
                return as_json(rows)
            case "GET", ["items", user, "touch"]:
                sql = "UPDATE items SET a = a + 1, touched = now() WHERE id = %s"
                await self.database.rows(sql, number(user), repeatable=False)
                return as_json({})
            case "POST", ["items"]:
                body, sql = request.json(), INSERT.format(", ".join(self.names), ", ".join(self.values))
                await self.database.rows(sql, body["id"], repeatable=False)
                return as_json({"id": body["id"]}, 201)
        raise Wrong(404, f"no {request.method} {request.path}")


def number(user: str) -> int:
    """Users are called user-1 .. user-1000000, and so are rows."""
    return int(user.removeprefix("user-"))
