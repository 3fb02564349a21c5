"""Processes that start without the seconds of their imports: one that has imported what they need forks for each.

Most of what the tests' many starts of Snakemake and their jobs compute is imports. So `run` asks a server, which has
imported Snakemake, and the Python that Snakemake starts scripts with (`launcher`) asks another, which has imported
torch and the like. As a program, this file is these servers. They import nothing of this project: each run has a copy
of its own. The straight run of conftest.py, the one that is killed, and what SLURM starts are processes of their own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNAKEMAKE = (
    *("snakemake.cli", "snakemake.executors.local", "snakemake.scheduling.greedy", "snakemake.script"),
    *("snakemake.report.html_reporter", "platformdirs", "requests", "smart_open", "yte"),
)
"""What Snakemake imports when it starts, some of it only when it is needed."""
SCRIPTS = (
    *("pandas", "pyarrow.parquet", "scipy.optimize", "scipy.special", "scipy.stats", "pydantic", "jinja2"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    *("matplotlib.backends.backend_pdf", "torch", "torch._dynamo", "torch.distributed.tensor"),
    *("transformers.models.llama.modeling_llama", "transformers.models.auto.modeling_auto"),
    *("transformers.models.auto.tokenization_auto", "transformers.convert_slow_tokenizer"),
)
"""What scripts import."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""As the rules have it for jobs: the hub's client keeps what it finds when it is imported."""
ONLINE = ("fetch_outline.py",)
"""Scripts of which a test wants to see what they do with the network: they are started as usual."""
LAUNCHER = "python-forked"
ADDRESS = "CORNERSTONE_TEST_SCRIPTS"
"""Environment variable: the socket of the server of scripts."""
LONGEST = 900
"""Seconds after which a Snakemake that goes on and on is ended."""

_servers: list[subprocess.Popen[str]] = []


def launcher(environment: Path) -> None:
    """Put a Python into an environment that has scripts forked, where there is a server of them."""
    path = environment / "bin" / LAUNCHER
    path.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{_LAUNCH}")
    path.chmod(0o755)


_LAUNCH = f"""\
import json, os, socket, sys
python, arguments = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"), sys.argv[1:]
address = os.environ.get({ADDRESS!r})
if not address or not arguments or not arguments[0].endswith(".py") or arguments[0].endswith({ONLINE!r}):
    os.execv(python, [python, *arguments])
with socket.socket(socket.AF_UNIX) as server:
    server.connect(address)
    socket.send_fds(server, [b"x"], [0, 1, 2])
    server.sendall(json.dumps([python, arguments, os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    status = int(server.makefile().readline())
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder, as `subprocess.run` would.

    Args:
        command: the Python of an environment with a `launcher`; `-m snakemake` or `-c` and a program; arguments.
        folder: where.
        variables: the environment.

    Returns:
        Its status, and what it wrote, stdout and stderr together.
    """
    if not _servers:
        _start()
    server = _servers[0]
    assert server.stdin
    assert server.stdout
    with tempfile.NamedTemporaryFile("r", errors="replace") as said:
        server.stdin.write(json.dumps([list(command), str(folder), dict(variables), said.name]) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(list(command), status, said.read())


def _start() -> None:
    """Start both servers; they end with this process, when their stdin does."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    address = os.path.join(folder.name, "scripts")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(16)
        number, pipe = listening.fileno(), subprocess.PIPE
        for arguments, more in (([], {ADDRESS: address}), ([str(number)], OFFLINE)):
            command, variables = [sys.executable, __file__, *arguments], {**os.environ, **more}
            server = subprocess.Popen(
                command, env=variables, stdin=pipe, stdout=pipe, text=True, pass_fds=[number] if arguments else []
            )
            atexit.register(server.communicate)
            _servers.append(server)


def serve(imported: Sequence[str]) -> None:
    """Import what is needed, and forget where this project lies."""
    for name in imported:
        importlib.import_module(name)
    assert not [name for name in sys.modules if "cornerstone" in name]
    sys.path[:] = [path for path in sys.path[1:] if path != str(ROOT)]
    gc.freeze()


def serve_snakemake() -> None:
    """Fork for each line that comes, one after the other."""
    address = os.environ[ADDRESS]
    serve(SNAKEMAKE)
    while line := sys.stdin.readline():
        (python, how, what, *arguments), folder, variables, said = json.loads(line)
        child = os.fork()
        if not child:
            nothing, screen = os.open(os.devnull, os.O_RDONLY), os.open(said, os.O_WRONLY)
            signal.alarm(LONGEST)
            python = str(Path(python).with_name(LAUNCHER))
            become(python, folder, {**variables, ADDRESS: address}, (nothing, screen, screen))
            sys.path.insert(0, folder)
            sys.argv = ["snakemake" if how == "-m" else "-c", *arguments]
            end(exec, "from snakemake.cli import main\nmain()" if how == "-m" else what, {"__name__": "__main__"})
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def serve_scripts(number: int) -> None:
    """Fork twice for each connection to a socket: for the script, and to tell its status when it ends."""
    with socket.socket(fileno=number) as listening, selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin, selectors.EVENT_READ)
        waiting.register(listening, selectors.EVENT_READ)
        if all(key.fileobj is listening for key, _ in waiting.select()):  # only where a script is started at all
            serve(SCRIPTS)
        while all(key.fileobj is listening for key, _ in waiting.select()):
            with listening.accept()[0] as connection:
                if not os.fork():
                    waiting.close()
                    listening.close()
                    return script(connection)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def script(connection: socket.socket) -> None:
    """Run the script that a connection asks for, and say how it ended."""
    _, screens, _, _ = socket.recv_fds(connection, 1, 3)
    python, arguments, folder, variables = json.loads(connection.makefile().readline())
    child = os.fork()
    if not child:
        connection.close()
        become(python, folder, variables, screens)
        sys.path[:0] = [os.path.dirname(arguments[0]), folder]
        sys.argv = arguments
        end(runpy.run_path, arguments[0], None, "__main__")
    for screen in screens:
        os.close(screen)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(python: str, folder: str, variables: Mapping[str, str], screens: Sequence[int]) -> None:
    """Make this process one that `python` was started for."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for place, opened in enumerate(screens):
        os.dup2(opened, place)
    for opened in set(screens):
        os.close(opened)
    sys.executable = python
    sys.prefix = sys.exec_prefix = str(Path(python).parents[1])


def end(act: Callable[..., object], *arguments: object) -> None:
    """Call what this process is for, and end it as Python does, but do not take apart all that was imported."""
    try:
        act(*arguments)
        status = 0
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # it ends the threads of pools and waits for all others
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve_scripts(int(sys.argv[1])) if sys.argv[1:] else serve_snakemake()
