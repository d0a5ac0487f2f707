"""What people and their tools do with a running job: ask, read, explain, evaluate, replay."""
