"""The morning console: what stands, waits, is held or broken, as pages for people.

A page shows what the commands show and does what they do: it asks a backend, as the command line
does, for who may give that command. No rule is here, and no script.
"""
