"""StyleGANs as others store them."""
