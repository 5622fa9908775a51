"""The Triton Inference Server that ships inside the nvidia-pytriton wheel, started and kept running."""
