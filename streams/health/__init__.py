"""What is observed beside the decisions: ages, join, following; never in the digest."""
