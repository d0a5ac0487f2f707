"""Our rate beside its peers' and its ceilings, in rounds."""
