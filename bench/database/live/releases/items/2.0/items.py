"""First and last name apart."""

from application import Items
from shop.server import serve


class SplitItems(Items):
    names = ("first_name", "last_name")
    values = ("'Load'", "'Test'")


if __name__ == "__main__":
    serve(SplitItems)
