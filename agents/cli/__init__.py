"""The leverframe command, one file per group of commands."""
