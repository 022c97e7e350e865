"""The name in one column."""

from application import Items
from shop.server import serve

if __name__ == "__main__":
    serve(Items)
