"""What is done with one image or seed, the same for a call over HTTP and for an item of a batch job."""
