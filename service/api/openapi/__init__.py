"""The OpenAPI document, and what it says of each call beside the code."""
