"""Kafka Streams as a contender: Java sources, jars, settings."""
