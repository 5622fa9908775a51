"""Real data: recipes that fetch it out of registry packages, archives that hold it, readers."""
