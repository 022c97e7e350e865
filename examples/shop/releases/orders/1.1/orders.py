"""Orders 1.1: knows how many orders a user has, and `/orders/summary`."""

from shop.http import Answer, Request, as_json
from shop.orders import LIST, Orders, order
from shop.server import serve

COUNT = "SELECT count(*) FROM orders WHERE user_id = %s"
SUMMARY = "SELECT count(*), count(DISTINCT user_id) FROM orders"


class OrdersWithSummary(Orders):
    """As 1.0, and a summary."""

    async def handle(self, request: Request) -> Answer:
        if (request.method, request.path) == ("GET", "/orders/summary"):
            orders, users = (await self.database.rows(SUMMARY))[0]
            return as_json({"orders": orders, "users": users})
        return await super().handle(request)

    async def list(self, request: Request) -> Answer:
        limit = int(request.number("limit", 10, least=1, most=100))
        rows = await self.database.rows(LIST, request.user, limit)
        count = (await self.database.rows(COUNT, request.user))[0][0]
        return as_json({"user": request.user, "count": count, "orders": [order(row) for row in rows]})


if __name__ == "__main__":
    serve(OrdersWithSummary)
