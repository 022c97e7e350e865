"""What a change is: the two files of the user, steps, the planner and the ports. Pure."""
