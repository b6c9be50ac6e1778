"""The server: over sockets on loopback, and as a process of its own."""
