"""FIXML: OCC's assignment and position reports, read as a stream that builds no tree."""
