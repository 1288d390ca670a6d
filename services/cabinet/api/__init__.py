"""What machines ask and send: `/api/v1/…`."""
