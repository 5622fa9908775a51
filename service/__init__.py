"""The ganserve gateway: HTTP calls in, images out, Triton Inference Server behind."""
