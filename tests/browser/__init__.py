"""The audit page in headless Chromium, as people see it and use it."""
