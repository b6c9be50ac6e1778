"""The command line, through its own entry point: texts, documents, exit codes, files out."""
