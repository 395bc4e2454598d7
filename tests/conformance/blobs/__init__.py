"""The suite of `ports.blobs`, over every blob store."""
