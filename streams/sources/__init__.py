"""Records of topics that exist already, mapped onto ours; pure: schemas, msgspec, jmespath."""
