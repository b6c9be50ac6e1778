"""Servers that tests start themselves, and what stands between them and the program."""
