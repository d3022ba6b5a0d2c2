"""The command line: `attattr VERB …`. Parse, call, show; exit codes and errors are settled in `verbs`.

0: done. 1: the work failed. 2: wrong usage, or input that cannot be used. 130: interrupted.

Next to nothing is imported here, so that Ctrl-C is heard from the first moment on.
"""

from attattr.cli.stop import stop


def __getattr__(name: str) -> object:
    """What is in `verbs`, which is imported when it is needed."""
    if name != "app":
        raise AttributeError(name)
    from attattr.cli.verbs import app

    return app


def main() -> None:
    """Entry point of the command `attattr`."""
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is to be ignored
            signal.signal(signal.SIGINT, stop)
        from attattr.cli.verbs import main as run

        run()
    except KeyboardInterrupt:
        stop()
