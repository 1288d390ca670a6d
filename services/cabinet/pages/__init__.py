"""What parents see: Russian, rendered here, nothing from another host."""
