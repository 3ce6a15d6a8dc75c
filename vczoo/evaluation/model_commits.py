"""Commits of the measuring models on the Hugging Face Hub.

A figure is only comparable with another if both were measured with the same files, and the main branch of a repository
may change. The models that vczoo names are pinned here; of any other model, the report has the commit that was loaded.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["COMMITS", "commit_to_load", "loaded_commit"]

COMMITS = {
    "Systran/faster-whisper-tiny.en": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    "Systran/faster-whisper-tiny": "d90ca5fe260221311c53c58e660288d3deb8d356",
    "Systran/faster-whisper-base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    "Systran/faster-whisper-base": "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    "Systran/faster-whisper-small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
    "Systran/faster-whisper-small": "536b0662742c02347bc0e980a01041f333bce120",
    "Systran/faster-whisper-medium.en": "a29b04bd15381511a9af671baec01072039215e3",
    "Systran/faster-whisper-medium": "08e178d48790749d25932bbc082711ddcfdfbc4f",
    "Systran/faster-whisper-large-v2": "f0fe81560cb8b68660e564f55dd99207059c092e",
    "Systran/faster-whisper-large-v3": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
    "openai/whisper-tiny.en": "87c7102498dcde7456f24cfd30239ca606ed9063",
    "facebook/hubert-large-ls960-ft": "ece5fabbf034c1073acae96d5401b25be96709d8",
    "facebook/wav2vec2-large-960h-lv60-self": "54074b1c16f4de6a5ad59affb4caa8f2ea03a119",
    "microsoft/wavlm-base-plus-sv": "feb593a6c23c1cc3d9510425c29b0a14d2b07b1e",
}


def commit_to_load(repository: str, revision: str = "") -> str:
    """The revision of a repository to load: the requested one, else the pinned commit, else "" for the main branch."""
    return revision or COMMITS.get(repository, "")


def loaded_commit(repository: str, revision: str) -> str:
    """The commit of a repository's files in the local cache.

    Args:
        repository: Repository on the Hub; empty for a model in a local folder.
        revision: Revision that was loaded; empty for the main branch.

    Returns:
        40 hex digits, or an empty string if there is none: a folder, or files that are not in the Hub's cache.
    """
    from huggingface_hub import try_to_load_from_cache

    if not repository:
        return ""
    config = try_to_load_from_cache(repository, "config.json", revision=revision or None)
    return Path(config).parent.name if isinstance(config, str) else ""
