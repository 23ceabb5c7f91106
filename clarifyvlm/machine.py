"""What libraries take for granted of a machine, and some machines have not."""

import importlib.util
import io
import os
import sys
import tempfile

from clarifyvlm.paths import home


def settle() -> None:
    """A name and a home folder for the user, certificates that are there, and terminals that are there and hold any
    letter: what is missing is replaced, in this process and those that it starts."""
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:  # closed (`2>&-`): a file opened later would take its place
        pass
    os.close(nowhere)
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))  # noqa: SIM115
    if not {"LOGNAME", "USER", "LNAME", "USERNAME"} & os.environ.keys():
        os.environ["LOGNAME"] = _name()
    if home() is None:
        os.environ["HOME"] = os.path.join(tempfile.gettempdir(), f"clarifyvlm-{os.getuid()}")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name) and not os.path.exists(os.environ[name]):
            print(f"{name} names what is not there ({os.environ.pop(name)}): it is left out", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):  # a letter that the terminal lacks is shown by its number
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def forget_socks() -> None:
    """For what asks nobody but this machine: a SOCKS proxy stops every HTTP library that lacks socksio."""
    if importlib.util.find_spec("socksio") is None:
        for name in [
            n for n, value in os.environ.items() if n.lower().endswith("_proxy") and value.startswith("socks")
        ]:
            del os.environ[name]


def _name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user-{os.getuid()}"
