"""What requests and answers are made of: pydantic models, strict about what they are given."""
