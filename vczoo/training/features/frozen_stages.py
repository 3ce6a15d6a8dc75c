"""Frozen stages run ahead of training, once over each recording, into the feature cache."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from vczoo.io.log import logger
from vczoo.io.progress import Callback
from vczoo.training.distributed import DistributedContext
from vczoo.training.features.segments import SegmentBatches

__all__ = ["run_frozen"]


def run_frozen(
    clips: Iterable[SegmentBatches],
    depth: int,
    watcher: Callback,
    team: DistributedContext,
    interrupted: threading.Event | None = None,
) -> int:
    """Fill the feature cache: run the frozen stages, and the teacher, on the recordings that are not cached yet.

    Each process runs its share. Afterwards training continues from stage `depth`.

    Args:
        clips: The splits to run on, all from the same `Features`.
        depth: The number of frozen stages.
        watcher: The callback that reports progress.
        team: The processes that share the work.
        interrupted: An event that stops the work once it is set.

    Returns:
        The number of recordings that the frozen stages of all processes ran on.

    Raises:
        KeyboardInterrupt: `interrupted` was set. Finished recordings stay cached.
    """
    splits = list(clips)
    features = splits[0].features
    features.at(depth)
    uncached = list(dict.fromkeys(pair for split in splits for pair in split.uncached()))
    uncached_by_teacher = list(dict.fromkeys(pair for split in splits for pair in split.uncached_by_teacher()))
    team.wait()  # all processes must have read the cache before any of them adds to it
    for what, source, pairs in (
        ("frozen stages", features, uncached),
        ("teacher", features.teacher, uncached_by_teacher),
    ):
        if pairs:
            logger.info("running the %s on %s recordings", what, len(pairs))
            watcher.hearing(0, len(pairs))
        for done in source.fill(pairs[team.rank :: team.processes]) if source else ():
            watcher.hearing(min(len(pairs), done * team.processes), len(pairs))
            if interrupted and interrupted.is_set():
                features.flush()
                break
    if interrupted and team.anybody(interrupted.is_set()):
        raise KeyboardInterrupt
    team.wait()
    features.refresh()
    return len(uncached)
