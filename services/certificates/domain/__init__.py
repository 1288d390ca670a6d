"""What certificates decides. Pure: no I/O, no clock, no chance."""
