"""Instances: starting, adopting, watching and stopping processes."""
