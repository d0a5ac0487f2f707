"""What a rate of events needs of cores, disk and brokers."""
