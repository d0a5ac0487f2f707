"""What reading topics of others costs beside our own."""
