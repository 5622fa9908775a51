"""`ganserve batch`: folders and buckets of images, as jobs of the server."""
