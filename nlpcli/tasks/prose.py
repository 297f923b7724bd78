"""Running text as whole sentences: what a summary is made of.

Unlike `tasks.sentences` it keeps no gaps, and sees through line breaks within a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PARAGRAPH = r"\n[^\S\n]*\n"
_LIST_ITEM = r"\s*([-*+•–]|\(?\d{1,3}[.)]|#+|>)\s"
_ENDS = r"[.!?…:。！？][\"'’”»)\]]*$"
# In text that was tokenised, a full stop stands alone; there is no doubt about it even within
# quotation marks, which otherwise hold a sentence together.
_ALONE = r"(?<=\s[.?!])(?:\s(?:''|[”’)\]»]))*\s+"
_INSIDE = r"(?<=[.?!][\"'’”»)\]])\s+|(?<=[.?!])\s+(?=[\"'‘“«(]*[A-Z])"
# A unit longer than this many characters is no sentence that anyone wrote as one.
_LONGEST = 600


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of `text` in their order, white space within each as single spaces.

    Joined by spaces they are the text, but for its white space.
    """
    found: list[str] = []
    for paragraph in re.split(_PARAGRAPH, text.replace("\r\n", "\n")):
        for lines in _runs(paragraph):
            found += _sentences(lines, language)
    return found


def _runs(paragraph: str) -> Iterator[list[str]]:
    """The lines of a paragraph, in lists of those that run on into each other.

    A line runs on where it ends in the middle of a sentence and is about as long as the paragraph's
    longest (it was broken to fit a width), or where the next begins with a small letter.
    """
    lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
    width = max(map(len, lines), default=0)
    run: list[str] = []
    for line in lines:
        if run and (
            re.match(_LIST_ITEM, line)
            or re.search(_ENDS, run[-1])
            or (2 * len(run[-1]) < width and not line[0].islower())
        ):
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _sentences(lines: list[str], language: str) -> Iterator[str]:
    from sentencex import segment

    text = " ".join(" ".join(lines).split())
    parts: list[str] = []
    for part in segment(language.partition("-")[0], text):
        # A quotation mark cut off from its word; scripts without spaces have sentences like that.
        if parts and parts[-1][-1].isascii() and not parts[-1][-1].isspace():
            parts[-1] += part
        else:
            parts.append(part)
    for part in parts if "".join(parts) == text else [text]:
        for sentence in _cut(part.strip(), _ALONE):
            if len(sentence) <= _LONGEST:
                yield sentence
            elif len(inner := list(_cut(sentence, _INSIDE))) > 1:
                yield from inner
            elif len(lines) > 1 and sentence == text:
                yield from lines
            else:
                yield sentence


def _cut(text: str, pattern: str) -> Iterator[str]:
    """`text` cut where `pattern` matches, what it matches left at the end of the part before."""
    start = 0
    for match in re.finditer(pattern, text):
        yield text[start : match.end()].rstrip()
        start = match.end()
    if text[start:]:
        yield text[start:]
