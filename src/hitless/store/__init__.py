"""PostgreSQL as the one store: journal, lease and what is in force."""
