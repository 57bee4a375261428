"""How a worker is forked, by the nursery, as a child of the supervisor.

Where a process forks while another thread of it holds a lock, that lock is held in the new one for ever; so who forks
here has one thread. What can't be carried over (gRPC, ONNX Runtime, connections to the database) is begun by the
worker.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
from pathlib import Path

REQUEST = b"worker"
LONGEST_ANSWER = 1024
_PR_SET_NAME = 15  # of prctl(2)


class NotForked(Exception):
    """There is no new process; the message says why."""


def fork_worker(control: socket.socket) -> bool:
    """Fork the worker that is asked for at `control`; tell whether this is the new process.

    Its standard input and output is the file that came with the question. The answer is its process id, or why there
    is none. Raises EOFError when nobody asks any more.
    """
    message, files, _, _ = socket.recv_fds(control, len(REQUEST), 1)
    if not message:
        raise EOFError
    (stream,) = files
    try:
        answer = str(_fork(stream))
    except (OSError, NotForked) as error:
        answer = f"it can't be forked: {error}"
    finally:
        os.close(stream)
    if answer == "0":
        control.close()
        return True
    control.send(answer.encode()[:LONGEST_ANSWER])
    return False


def name_process(name: str) -> None:
    """Have `ps` and `top` show a name, of at most 15 characters: all have one command line."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _fork(stream: int) -> int:
    """Fork, and return the new process's id, or 0 in the new process. Raises OSError, NotForked."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise NotForked(f"the nursery has {threads} threads")
    # What is there now is not looked at by the garbage collector of any process again, which would write to all of it.
    gc.collect()
    gc.freeze()
    told, tells = os.pipe()
    between = os.fork()
    if not between:
        _fork_and_end(tells)
        os.close(told)
        os.close(tells)
        _begin_anew(stream)
        return 0
    os.close(tells)
    pid = int(os.read(told, 32) or 0)
    os.close(told)
    os.waitpid(between, 0)
    if not pid:
        raise NotForked("no memory, or too many processes")
    return pid


def _fork_and_end(tells: int) -> None:
    """Fork once more, and end; return in the new process only, whose id was written to `tells`.

    So the new process is a child of the supervisor, who adopts what its descendants leave behind.
    """
    pid = -1
    try:
        pid = os.fork()
        if pid:
            os.write(tells, str(pid).encode())
    finally:
        if pid:
            os._exit(int(pid < 0))


def _begin_anew(stream: int) -> None:
    """Take leave of the nursery's session, name and streams."""
    # Ctrl-C is for the supervisor, who passes it on.
    os.setsid()
    os.dup2(stream, 0)
    os.dup2(stream, 1)
    name_process("gerbang-worker")
