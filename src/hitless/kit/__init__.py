"""Units, errors, ids, clock and log: what every room stands on."""
