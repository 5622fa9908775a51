"""`python -m training`, which is how torchrun starts `gantrain`."""

from training.cli import app

app()
