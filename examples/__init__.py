"""A small real-looking day, and the command that makes it."""
