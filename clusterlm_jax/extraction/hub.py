"""Finds a checkpoint by the name of its directory, or of its repository on the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax.models.pretrained.formats import READERS
from clusterlm_jax.records import UserError

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DESCRIPTION = ("*.json", "tokenizer*", "*.model", "merges.txt", "vocab.txt")  # configuration, indices and tokenizer


def locate(checkpoint: str, weights: bool = True) -> Path:
    """The directory of a checkpoint; if the name is that of a repository, it is downloaded first.

    If the repository has several formats, only one is downloaded. Files that exist are not downloaded again.

    Args:
      weights: whether to download the weights too.

    Raises:
      UserError: there is no such directory or repository, or it cannot be reached.
    """
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    if Path(checkpoint).exists() or not REPOSITORY.fullmatch(checkpoint):
        raise UserError(
            f"There is no directory {checkpoint!r}; config.checkpoint must be the directory of a model, "
            "or a name on Hugging Face such as EleutherAI/gpt-j-6b."
        )
    import huggingface_hub  # imported here because it is slow to import, and a local directory does not need it

    try:
        wanted = [*DESCRIPTION, *(patterns_of(huggingface_hub.list_repo_files(checkpoint)) if weights else ())]
        return Path(huggingface_hub.snapshot_download(checkpoint, allow_patterns=wanted))
    except Exception as error:  # no network, no such repository, no permission: the library has a class for each
        try:  # a machine without a network may have downloaded it before
            return Path(huggingface_hub.snapshot_download(checkpoint, local_files_only=True))
        except Exception:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{checkpoint!r} is no directory here, and could not be downloaded from Hugging Face ({reason}): "
                "set config.checkpoint to the directory of a model."
            ) from error


def patterns_of(files: Sequence[str]) -> tuple[str, ...]:
    """Patterns of the weight files to download: those of the first format in `formats.READERS` that is there.

    A pattern fits a single file and all shards alike.
    """
    for name in map(Path, READERS):
        pattern = f"{name.stem}*{name.suffix}"
        if fnmatch.filter(files, pattern):
            return (pattern,)
    return ()
