"""Fuzzing of what reads other people's files: `make fuzz`.

Reading order: `samples` (sound files to start from, and the words of the formats), `laws` (what
must hold for any bytes), `changes` (those that keep a format's frame), `one` (one parser under
atheris, which follows the code's branches), and `__main__` (all of them, two at a time, for a
bounded time).
"""
