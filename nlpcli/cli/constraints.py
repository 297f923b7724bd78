"""What the output of a language model must be or end at, as it is given on the command line."""

import json
import re
from pathlib import Path

from nlpcli.cli.options import utf8
from nlpcli.errors import UsageError

_SCHEMA = 'a JSON Schema is an object, such as {"type": "array"}'
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def unescaped(text: str) -> str:
    """A stop string as it is typed, its \\n, \\t, \\r and \\\\ understood. Raises UsageError."""
    if not text:
        raise UsageError("--stop is empty", "give the text to stop at")
    return re.sub(r"\\([ntr\\])", lambda match: _ESCAPES[match[1]], utf8("--stop", text))


def schema(given: str) -> str:
    """The JSON Schema that `given` is or names. Raises UsageError where it is none."""
    inline = given.lstrip().startswith("{")
    name, text = ("--schema", given) if inline else (given, _read("--schema", given))
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"{name}:{error.lineno}:{error.colno}"
        message = f"{where}: not valid JSON: {error.msg.removesuffix(' at')}"
        raise UsageError(message, _SCHEMA) from error
    except RecursionError as error:
        raise UsageError(f"{name}: not valid JSON: nested too deep", _SCHEMA) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{name}: a string in it is not valid Unicode", _SCHEMA) from error
    if not isinstance(value, dict):
        raise UsageError(f"{name}: not a JSON Schema", _SCHEMA)
    return text


def grammar(path: str) -> str:
    """The GBNF grammar in the file `path`. Raises UsageError where it cannot be one."""
    text = _read("--grammar", path)
    if not re.search(r"^\s*root\s*::=", text, re.MULTILINE):
        raise UsageError(f"{path}: not a grammar in GBNF", 'it has no rule "root ::= …"')
    return text


def _read(option: str, path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{option} {path}: cannot be read: {error.strerror}", "name a file that is there"
        ) from error
    except ValueError as error:
        if not isinstance(error, UnicodeDecodeError):
            raise UsageError(f"{option}: no file has such a name") from error
        message = f"{path}: not valid UTF-8: byte {error.start + 1}"
        raise UsageError(message, "convert it: iconv -f ENCODING -t UTF-8") from error
