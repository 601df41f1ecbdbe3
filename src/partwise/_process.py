"""What a command line does to its process: warnings as lines, no interrupt lost."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["interrupts_kept", "say", "warnings_as_lines"]


def say(message: object) -> None:
    """Print one line on stderr."""
    print(f"partwise: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show every warning meant for users as one line on stderr."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("always")
        for category in (
            DeprecationWarning,
            PendingDeprecationWarning,
            FutureWarning,
            ResourceWarning,
        ):
            warnings.simplefilter("ignore", category)
        # Names are compared here, with a message that says which differ.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        warnings.showwarning = show
        yield


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Send Ctrl-C again where it came in a destructor or a callback: Python drops it there."""
    hook, timers = sys.unraisablehook, []

    def again(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            hook(unraisable)
            return
        # From a thread of its own: sent from here, it would end in this hook.
        timers.append(threading.Timer(0.05, _interrupt))
        timers[-1].start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
        sys.unraisablehook = hook


def _interrupt() -> None:
    # As the terminal does it: a call that waits in the main thread is woken up.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
