"""Who may call, from where, and how often: decided before anything of a request's body is read."""
