"""What is on the wire: typed records, their codec, their generated schemas."""
