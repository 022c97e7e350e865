"""Orders 1.0."""

from shop.orders import Orders
from shop.server import serve

if __name__ == "__main__":
    serve(Orders)
