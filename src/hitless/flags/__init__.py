"""Feature flags: evaluation and definitions in the formats of flagd and OpenFeature."""
