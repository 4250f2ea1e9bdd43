"""In: from what arrives to what an image is."""
