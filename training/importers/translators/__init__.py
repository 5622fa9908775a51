"""Translators as others store them."""
