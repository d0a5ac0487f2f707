"""The comparison of strategies through Kafka, a worker and the control topic."""
