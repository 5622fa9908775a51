"""One module a file format: what a file says about itself, read from its bytes before any decoder runs."""
