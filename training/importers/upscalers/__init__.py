"""Upscalers as others store them."""
