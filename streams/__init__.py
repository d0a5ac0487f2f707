"""What one micro-batch does: pure steps."""
