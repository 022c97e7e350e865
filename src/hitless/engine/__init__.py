"""Carries a plan out: the journal, the next move, the one loop that acts."""
