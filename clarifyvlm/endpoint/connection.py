"""How an endpoint is reached: its address and key as they were given, around or through a proxy, by which certificates;
and what to say where it is not.

A server on this machine is never asked through a proxy, and what is set for the rest of the world stops nothing.
"""

import ipaddress
import json
import os
import re
import socket
import ssl
import urllib.request
from urllib.parse import urljoin, urlsplit

from clarifyvlm.endpoint.shapes import mended
from clarifyvlm.errors import UserError

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"  # local servers want no key, but the client insists on one
LONGEST = 300  # characters of a server's words in a message
_WORDS = ("message", "detail", "error", "error_description", "msg", "reason", "title")  # where servers put them


def address(given: str | None, flag: str) -> str:
    """The base URL, from `given` or OPENAI_BASE_URL. UserError where it is none."""
    name = flag if given else "OPENAI_BASE_URL"
    url = (given or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip().removesuffix("/chat/completions")
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url)
        _ = parts.port
    except ValueError:
        whole = False
    if not whole:
        raise UserError(
            f"{name} {url!r} is no address: it has to look like http://localhost:8000/v1, with http:// or https://."
        )
    return url


def key(variable: str) -> str:
    """The key in an environment variable, without what stood around it. UserError where no header can hold it."""
    found = os.environ.get(variable, "").strip("\ufeff \t\r\n").strip("'\"")
    if not all("!" <= sign <= "~" for sign in found):
        raise UserError(
            f"{variable} holds a line break, a space or another sign that no key has: give it the key alone."
        )
    return found or NO_KEY


def clients(count: int, base_url: str, key_variable: str, timeout_s: float) -> list:
    """So many OpenAI clients, each with its own connections. UserError where proxy or certificates cannot be used."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    through = proxy(base_url)
    # No redirects: a 301 turns a call into the reading of a page, and a key does not follow to other hosts.
    how = {"trust_env": False, "follow_redirects": False, "verify": _certificates(base_url), "proxy": through}
    options = {"base_url": base_url, "api_key": key(key_variable), "timeout": timeout_s, "max_retries": 0}
    try:
        return [AsyncOpenAI(**options, http_client=DefaultAsyncHttpxClient(**how)) for _ in range(count)]
    except ImportError:
        raise UserError(
            f"the way to {base_url} is a SOCKS proxy ({_shown(through)}), which needs one more package: "
            f"pip install socksio. {_around(base_url)}"
        ) from None
    except ValueError as error:
        raise UserError(f"the proxy {_shown(through)} cannot be used: {error}. {_around(base_url)}") from None


def proxy(base_url: str) -> str | None:
    """The proxy that the environment names for an address, if any."""
    parts = urlsplit(base_url)
    if _is_here(parts.hostname):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if (
        not found
        or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2])
        or _in_networks(parts.hostname, proxies)
    ):
        return None
    return found if "://" in found else f"http://{found}"


def reason(error: Exception, base_url: str) -> str:
    """In one line, why a call failed: the server's own words where it said something."""
    response = getattr(error, "response", None)
    if response is not None:
        if 300 <= response.status_code < 400:
            where = urljoin(str(response.url), response.headers.get("location", "")).removesuffix("/chat/completions")
            return f"{response.status_code}, it has moved (a redirect) to {where}: give that address."
        hint = ""
        if response.status_code in (404, 405) and not urlsplit(base_url).path.strip("/"):
            hint = " The address of most servers ends in /v1."
        return f"Error code: {response.status_code} - {words(error) or 'no word of why'}{hint}"
    first: BaseException = error
    while first.__cause__ or first.__context__:
        first = first.__cause__ or first.__context__
    said = _line(str(first)) or type(first).__name__
    if "CERTIFICATE_VERIFY_FAILED" in said:
        said += ". Name your own certificates in SSL_CERT_FILE."
    elif "WRONG_VERSION_NUMBER" in said or "record layer" in said:
        said += ". It may speak http://, not https://."
    if through := proxy(base_url):
        said += f" (through the proxy {_shown(through)}). {_around(base_url)}"
    return said


def words(error: Exception) -> str:
    """What the server says in the body of an error, in one line."""
    response = getattr(error, "response", None)
    if response is None:
        return _line(str(error))
    try:
        found = _within(json.loads(response.text))
    except (ValueError, RecursionError):  # a page: its text
        found = re.sub(r"<(style|script|head)\b.*?</\1>|<[^>]*>", " ", response.text, flags=re.S | re.I)
    return _line(found)


def _within(body) -> str:
    if isinstance(body, list):
        return "; ".join(filter(None, map(_within, body[:3])))
    if not isinstance(body, dict):
        return "" if body is None else str(body)
    found = next((said for name in _WORDS if body.get(name) and (said := _within(body[name]))), "")
    beside = [v for v in (body.get("metadata"), body.get("code"), body.get("param")) if v and str(v) not in found]
    return f"{found} ({', '.join(map(str, beside))})" if found and beside else found or json.dumps(body)


def _line(text: str) -> str:
    text = " ".join(mended(text).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def _certificates(base_url: str) -> bool | ssl.SSLContext:
    if urlsplit(base_url).scheme == "http" and not (proxy(base_url) or "").startswith("https:"):
        return False  # there are none to look at
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    for name, value, there in (("SSL_CERT_FILE", file, os.path.isfile), ("SSL_CERT_DIR", folder, os.path.isdir)):
        if value and not there(value):
            raise UserError(f"{name} is set to {value}, which is not there: mend or unset it.")
    if not (file or folder):
        return True
    try:
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"SSL_CERT_FILE {file} holds no certificates ({error}): mend or unset it.") from None


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified


def _in_networks(host: str, proxies: dict[str, str]) -> bool:
    """Whether NO_PROXY has a network (10.0.0.0/8) that the host is in."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    for part in proxies.get("no", "").split(","):
        try:
            if "/" in part and found in ipaddress.ip_network(part.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _around(base_url: str) -> str:
    return f"NO_PROXY={urlsplit(base_url).hostname} goes around it."


def _shown(url: str) -> str:
    """A proxy's address without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
