"""Web 2.2: buying with one click, behind the flag `one-click`."""

from shop.one_click import OneClick
from shop.server import serve

if __name__ == "__main__":
    serve(OneClick)
