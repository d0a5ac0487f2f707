"""What runs inside a serving system: subscriber and assigner."""
