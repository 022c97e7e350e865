"""Accounts 1.0."""

from shop.accounts import Accounts
from shop.server import serve

if __name__ == "__main__":
    serve(Accounts)
