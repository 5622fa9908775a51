"""Networks, one file each, written from their papers."""
