"""What Grafana and Prometheus are given: dashboards, recording rules, alerts and their runbook, from Python.

`python -m deploy.grafana` (or `make dashboards`) writes all of it; a test holds the files against what this
writes, and every metric in it against a live scrape.
"""
