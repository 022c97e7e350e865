"""Statistics that decide whether a new version is worse. Pure, usable alone."""
