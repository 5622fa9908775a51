"""What a client sent, read within limits and checked: bodies, image files, models, latents."""
