"""What benches share: broker, workers, load, and what processes use."""
