"""The command line. One module for a group of commands; no business rule in it."""
