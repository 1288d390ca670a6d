"""Senders: processes beside the service that carry messages out and report what became of them."""
