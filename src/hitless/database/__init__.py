"""Live changes of PostgreSQL schemas: two schema versions at once, verified, with a way back."""
