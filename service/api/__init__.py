"""The HTTP contract: one router per resource, and what the routers share."""
