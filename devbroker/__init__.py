"""A real Apache Kafka for development and tests, from pip-installable parts alone."""
