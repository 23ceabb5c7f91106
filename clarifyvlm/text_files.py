"""Text files of the user's: UTF-8, as some tools write it."""

import codecs
from pathlib import Path

from clarifyvlm.errors import UserError

WIDE = {  # the four bytes first: UTF-32 begins like UTF-16
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: str | Path) -> str:
    """A file's text, without the byte order mark with which Excel and Notepad begin. UserError where it is no UTF-8."""
    return decoded(Path(path).read_bytes(), path)


def decoded(content: bytes, path: str | Path) -> str:
    """`read_text` of content that was read."""
    refuse_wide(content[:4], path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8.") from None


def refuse_wide(begin: bytes, path: str | Path) -> None:
    """UserError for a file that begins with the mark of UTF-16 or UTF-32, as PowerShell writes them."""
    if coding := next((name for mark, name in WIDE.items() if begin.startswith(mark)), None):
        raise UserError(f"{path} is {coding}, by its byte order mark; save it as UTF-8.")
