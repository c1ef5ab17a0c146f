"""Object storage: the embedded store, short-lived keys, and the mounts of `cloud_storage`."""
