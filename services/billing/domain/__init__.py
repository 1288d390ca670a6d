"""What billing decides, and what it knows. Pure."""
