"""Orders 1.6: several items with one order, on schema version 0003_order_items."""

from shop import orders
from shop.orders import Orders
from shop.server import serve

READ = "SELECT id, reference, array_to_string(items, ', '), customer FROM orders"
STATEMENTS = {
    orders.TAKE: """
        INSERT INTO orders (reference, user_id, items, customer, idempotency_key)
        VALUES (%s, %s, string_to_array(%s, ', '), %s, %s) ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id, reference, array_to_string(items, ', '), customer""",
    orders.FIND_KEY: f"{READ} WHERE idempotency_key = %s AND user_id = %s",
    orders.FIND_REFERENCE: f"{READ} WHERE reference = %s ORDER BY id LIMIT 2",
    orders.LIST: f"{READ} WHERE user_id = %s ORDER BY id DESC LIMIT %s",
    orders.NEWER: f"{READ} WHERE id > %s ORDER BY id LIMIT 20",
}


class OrdersWithItems(Orders):
    """As 1.0, but an order may name several items: `pen, ink`."""

    def sql(self, statement: str) -> str:
        return STATEMENTS.get(statement, statement)


if __name__ == "__main__":
    serve(OrdersWithItems)
