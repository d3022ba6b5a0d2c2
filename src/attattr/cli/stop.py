"""What Ctrl-C does where there is nothing to clean up."""

import os


def stop(*_: object) -> None:
    """Ctrl-C before a verb has begun, or when it has ended: there is nothing to clean up."""
    os.write(2, b"Error: interrupted\n")
    os._exit(130)
