"""Orders 1.2: has a bug that one request in fifty meets."""

import random

from shop.http import Answer, Request
from shop.orders import Orders
from shop.server import serve

SHARE = 0.02


class OrdersWithRareBug(Orders):
    """As 1.0, but 2 % of the requests fail."""

    async def handle(self, request: Request) -> Answer:
        if random.random() < SHARE:
            raise RuntimeError("the rare bug of 1.2")
        return await super().handle(request)


if __name__ == "__main__":
    serve(OrdersWithRareBug)
