"""Other people's checkpoints, read without executing anything in them, as networks of ours."""
