"""The demo: the example shop under load, changed, broken and killed by the very commands a user types."""
