"""Wiring of the rooms, and the use cases of the product."""
