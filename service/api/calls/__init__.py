"""The work between a request and its answer: admitted, watched, at once or as a stream."""
