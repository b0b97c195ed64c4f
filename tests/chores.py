"""Work for worker processes, good and bad; importing it costs a child process nothing."""

import os
import signal
import time


def chore(what):
    """Some work, good or bad, in a worker process."""
    if what == "hang":
        time.sleep(600)
    if what == "busy":
        while True:
            pass
    if what == "eat":
        return len(bytearray(2**30))
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leave":
        os._exit(3)
    if what == "wrong":
        raise ZeroDivisionError("an error of the program")
    if what == "who":
        return os.getpid()
    return what * 2
