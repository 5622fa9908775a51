"""Batch jobs: storage of what goes in and comes out, and the work itself."""
