"""What a Quaderno server needs inside its container image; imports nothing of `quaderno`."""
