"""Families of GANs: their networks, losses and one optimisation step each."""
