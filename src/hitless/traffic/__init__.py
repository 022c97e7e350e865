"""Who is served by which version: cohorts, shares and drains through HAProxy."""
