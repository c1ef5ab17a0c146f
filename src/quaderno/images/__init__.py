"""Container images: the base image and how it is built."""
