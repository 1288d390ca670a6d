"""What the services say to each other. Imports nothing of ours; see `contracts/README.md`."""
