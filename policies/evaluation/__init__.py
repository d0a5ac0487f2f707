"""Off-policy evaluation: what a policy would have earned, from rewards that another one logged."""
