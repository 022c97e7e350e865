"""The same planner, engine and room rules against a world in memory: seeded faults, a virtual clock, a checker."""
