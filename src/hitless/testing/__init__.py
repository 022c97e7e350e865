"""Load and faults for tests of any system, usable alone."""
