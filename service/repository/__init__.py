"""Triton's model repository as operators run it: production settings, versions side by side, server flags."""
