"""The job: thin Faust shells around the pure steps, their wiring, metrics and logs."""
