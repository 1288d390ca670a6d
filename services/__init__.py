"""The services: every folder is a process and owns its facts."""
