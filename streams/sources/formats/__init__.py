"""From a record's bytes to a document, one file for each format; pure, given the schemas."""
