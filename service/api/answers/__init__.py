"""What a client gets: media type, pixels as files, recipe, signature, validators for caches."""
