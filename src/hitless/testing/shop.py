"""What visitors of the example shop do (examples/shop)."""

from typing import Any

from hitless.testing.load.profile import Profile

USERS = 2000
STAFF = ("ann", "ben")


def shop_profile(url: str, **changes: Any) -> Profile:
    """Return the load of the shop: the page, lists, accounts, new orders, and the three that last long.

    `changes` are fields of Profile. Raises InvalidInput.
    """
    visits: dict[str, Any] = {
        "users": USERS,
        "named_users": STAFF,
        "get": ("/", "/orders", "/accounts/{user}", "/accounts/{user}/balance"),
        "post": ("/orders",),
        "idempotency_key": True,
        "check": "/orders/{id}",
        "check_says": '"times": 1}',  # taken once, not twice
        "download": "/orders/download?seconds=8",
        "download_says": "complete after",
        "stream": "/orders/stream",
        "websocket": "/orders/ws",
    }
    return Profile(url=url, **(visits | changes))
