"""Orders 1.5: waits for a table that nobody makes, and never gets ready."""

from shop.orders import Orders
from shop.server import serve


class OrdersWaiting(Orders):
    """As 1.0, but wants price lists first."""

    async def prepare(self) -> None:
        await super().prepare()
        await self.database.rows("SELECT count(*) FROM price_lists")


if __name__ == "__main__":
    serve(OrdersWaiting)
