"""The guard where users have many requests each and keep their arm."""
