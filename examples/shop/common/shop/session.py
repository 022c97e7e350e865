"""Sessions that live in a signed cookie: no version and no instance has to remember them."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass

COOKIE = "shop_session"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who visits."""

    id: str
    visits: int


class Sessions:
    """Reads and writes the cookie; the key is SHOP_SECRET."""

    def __init__(self) -> None:
        self._key = os.environ.get("SHOP_SECRET", "only for trying out").encode()

    def visit(self, cookies: dict[str, str]) -> Session:
        """Return the session, one visit older; a new one where there is none that we signed."""
        id_, _, rest = cookies.get(COOKIE, "").partition(".")
        visits, _, signature = rest.partition(".")
        if id_ and visits.isdigit() and hmac.compare_digest(signature, self._sign(f"{id_}.{visits}")):
            return Session(id_, int(visits) + 1)
        return Session(secrets.token_hex(8), 1)

    def cookie(self, session: Session) -> str:
        """Return the value of Set-Cookie."""
        plain = f"{session.id}.{session.visits}"
        return f"{COOKIE}={plain}.{self._sign(plain)}; Path=/; HttpOnly; SameSite=Lax"

    def _sign(self, plain: str) -> str:
        return hmac.new(self._key, plain.encode(), hashlib.sha256).hexdigest()[:32]
