"""The proof of a plan: every state a run can be in, forward and backward, and why what meets there works together."""
