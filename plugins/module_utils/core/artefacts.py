# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Artefacts: what a probe keeps as evidence. A verdict names them; their content goes beside it, bounded, and never into it.

A verdict is repeated in facts, in the decision and in tickets. A picture is not: it is handed over once, and becomes a file
beside the report.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.probes.base import LARGEST_ARTEFACT, MEDIA_TYPES, Artefact

MOST = 4
"""Artefacts of one verdict; further ones are left out."""
LARGEST_TOTAL = 16_000_000
"""Bytes of all artefacts that are handed over together."""
DIRECTORY = "evidence"
"""The directory of the files, beside the report."""
FILE = re.compile(rf"{DIRECTORY}/[A-Za-z0-9][A-Za-z0-9._-]{{0,199}}\Z")
"""What a verdict may name as the file of an artefact."""

_BEGINS = {"image/jpeg": (b"\xff\xd8\xff",), "image/png": (b"\x89PNG\r\n\x1a\n",)}
_STRANGE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Kept:
    """An artefact on its way from the host, with the id of its check."""

    check: str
    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def record(self) -> dict[str, Any]:
        """How a verdict names it."""
        return {"name": self.name, "media_type": self.media_type, "bytes": len(self.content), "sha256": self.sha256}

    def packed(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return {
            "check": self.check,
            "name": self.name,
            "media_type": self.media_type,
            "content": base64.b64encode(self.content).decode("ascii"),
        }

    def file(self, host: str) -> str:
        """The name of its file, the same for the same content: a check that is asked again in a rollback overwrites nothing."""
        stem = self.name.rpartition(".")[0] or self.name
        parts = [_STRANGE.sub("_", one).strip("_-")[:50] for one in (host, self.check, stem)]
        return f"{DIRECTORY}/{'-'.join(one or 'x' for one in parts)}-{self.sha256[:8]}.{MEDIA_TYPES[self.media_type]}"


def is_image(media_type: str, content: bytes) -> bool:
    """Whether the content is a picture of that type, and not only called one."""
    return content.startswith(_BEGINS.get(media_type, ())) if media_type in _BEGINS else False


def is_text(media_type: str) -> bool:
    return media_type in MEDIA_TYPES and media_type not in _BEGINS


def cleaned(media_type: str, content: bytes, clean: Callable[[str], str]) -> bytes:
    """A text with something taken out of it; a picture as it is."""
    if not is_text(media_type):
        return content
    return clean(content.decode("utf-8", "replace")).encode("utf-8", "replace")


def why_not(artefact: Artefact) -> Optional[str]:
    """Why an artefact is not kept; None when it is."""
    if artefact.media_type not in MEDIA_TYPES:
        return f"{artefact.name} is not kept: {artefact.media_type} is not among {', '.join(MEDIA_TYPES)}"
    if len(artefact.content) > LARGEST_ARTEFACT:
        return f"{artefact.name} is not kept: it has {len(artefact.content)} bytes, {LARGEST_ARTEFACT} are allowed"
    if not is_text(artefact.media_type) and not is_image(artefact.media_type, artefact.content):
        return f"{artefact.name} is not kept: it is no {artefact.media_type}"
    return None


def take(check: str, artefacts: Iterable[Artefact], clean: Callable[[str], str]) -> tuple[list[Kept], list[str]]:
    """The artefacts of one look that are kept, without its secrets, and why others are not."""
    kept: list[Kept] = []
    refused: list[str] = []
    for artefact in artefacts:
        problem = why_not(artefact)
        if problem is None and len(kept) >= MOST:
            problem = f"{artefact.name} is not kept: a verdict has at most {MOST}"
        if problem is not None:
            refused.append(clean(problem))
            continue
        content = cleaned(artefact.media_type, artefact.content, clean)
        kept.append(Kept(check, clean(artefact.name), artefact.media_type, content))
    return kept, refused


def bounded(kept: Iterable[Kept], most: int = LARGEST_TOTAL) -> list[Kept]:
    """The first of them, up to a size altogether."""
    found, total = [], 0
    for one in kept:
        total += len(one.content)
        if total > most:
            break
        found.append(one)
    return found


def unpack(raw: Any) -> Optional[Kept]:
    """What a host handed over, or None when it is not what a host should: it is another machine's word."""
    if not isinstance(raw, Mapping):
        return None
    check, name, media_type, packed = (raw.get(key) for key in ("check", "name", "media_type", "content"))
    if not (isinstance(check, str) and isinstance(name, str) and isinstance(media_type, str) and isinstance(packed, str)):
        return None
    try:
        content = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None
    kept = Kept(check, name[:200], media_type, content)
    return None if why_not(Artefact(kept.name, media_type, content)) else kept
