"""What all services and versions of the shop share: standard library, and psycopg in database.py."""
