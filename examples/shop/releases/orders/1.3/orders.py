"""Orders 1.3: is broken for most, and well enough to look ready."""

import random

from shop.http import Answer, Request
from shop.orders import Orders
from shop.server import serve

SHARE = 0.60


class OrdersBroken(Orders):
    """As 1.0, but 60 % of the requests fail."""

    async def handle(self, request: Request) -> Answer:
        if random.random() < SHARE:
            raise RuntimeError("the bug of 1.3")
        return await super().handle(request)


if __name__ == "__main__":
    serve(OrdersBroken)
