"""The server: through grpcio-testing, over sockets on loopback, and as a process of its own."""
