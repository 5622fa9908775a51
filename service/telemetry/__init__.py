"""What the service tells its operators: Prometheus metrics, structured logs and traces."""
