"""The `gantrain` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Train image GANs and export them for serving.", no_args_is_help=True, add_completion=False)
console = Console(stderr=True)
