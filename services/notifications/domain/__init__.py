"""What notifications decides. Pure."""
