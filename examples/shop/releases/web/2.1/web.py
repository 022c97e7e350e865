"""Web 2.1: as 2.2, with a bug: whoever has the flag `one-click` gets no page."""

from shop.http import Response
from shop.one_click import OneClick
from shop.server import serve


class OneClickWithBug(OneClick):
    """Good for everybody as long as the flag is off."""

    def with_one_click(self, page: Response) -> Response:
        raise RuntimeError("one click does not work in 2.1")


if __name__ == "__main__":
    serve(OneClickWithBug)
