"""What slow labels do to means, policies and guard, and the cure."""
