"""The gRPC server. `app` is the composition root; the two services are thin servicers."""
