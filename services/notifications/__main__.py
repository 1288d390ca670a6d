"""Notifications as a process of its own."""

import sys

from services.notifications.app import service
from streaming.process import main

if __name__ == "__main__":
    sys.exit(main(service()))
