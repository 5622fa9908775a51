"""The offline package: real data in, trained and exported image GANs out."""
