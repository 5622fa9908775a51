"""`gantrain project`: the styles of which a generator makes a given picture."""
