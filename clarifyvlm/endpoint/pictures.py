"""Pictures as they are sent to an endpoint: data URLs."""

import base64
import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from clarifyvlm import images

if TYPE_CHECKING:
    from PIL import Image

LONGEST_SIDE = 1024  # pixels of a picture that is sent
LOSSLESS_SIDE = 512  # up to here as PNG, above as JPEG


@lru_cache(maxsize=256)
def picture_url(path: Path) -> tuple[str, str]:
    """(data URL of the picture as it is sent, sha256 of that). UserError where it cannot be opened."""
    return encoded(images.open_image(path, max_side=LONGEST_SIDE))


def encoded(picture: "Image.Image") -> tuple[str, str]:
    """(data URL, sha256 of the file in it)."""
    kind = "png" if max(picture.size) <= LOSSLESS_SIDE else "jpeg"
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": 92} if kind == "jpeg" else {}))
    data = file.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", hashlib.sha256(data).hexdigest()
