"""How good generated images are, measured against held-out real ones."""
