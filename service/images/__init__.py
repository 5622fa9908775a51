"""Pixels and files: encoders, contact sheets and the provenance written into every image."""
