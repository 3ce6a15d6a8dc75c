"""Exact search of the k nearest frames: torch in chunks, as in the kNN head, and faiss, by size of the reference.

    pip install faiss-cpu
    python -m benchmarks.speed.nearest_frames

Each row is a process of its own: CPU seconds of the search, the best of several repeats, and how much the search raised
the process's peak memory above that of the queries and the reference. faiss is measured without an index (`faiss.knn`)
and with `IndexFlatIP`, which copies the reference. All must return the same frames.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K = 4
CHUNK_FRAMES = 8192  # the head's default
METHODS = ("torch", "faiss.knn", "faiss.IndexFlatIP")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def unit_rows(count: int, channels: int, seed: int) -> np.ndarray:
    """Rows of length 1 around a few hundred centers, as frames of speech cluster around phones."""
    centers = np.random.default_rng(0).standard_normal((300, channels), dtype=np.float32)
    generator = np.random.default_rng(seed)
    rows = np.empty((count, channels), dtype=np.float32)
    for start in range(0, count, CHUNK_FRAMES):
        part = rows[start : start + CHUNK_FRAMES]
        part[:] = centers[generator.integers(0, len(centers), len(part))]
        part += 0.7 * generator.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def searcher(method: str, queries: np.ndarray, reference: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    if method == "torch":
        import torch

        from vczoo.modules.nn.nearest_frames import nearest_frames

        torch.set_num_threads(threads)
        rows, reference_rows = torch.from_numpy(queries), torch.from_numpy(reference)
        return lambda: nearest_frames(rows, reference_rows, K, CHUNK_FRAMES).numpy()
    import faiss

    faiss.omp_set_num_threads(threads)
    if method == "faiss.knn":
        return lambda: faiss.knn(queries, reference, K, metric=faiss.METRIC_INNER_PRODUCT)[1]

    def search() -> np.ndarray:
        index = faiss.IndexFlatIP(reference.shape[1])
        index.add(reference)
        indices: np.ndarray = index.search(queries, K)[1]
        return indices

    return search


def measure(method: str, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    queries = unit_rows(arguments.queries, arguments.channels, seed=1)
    reference = unit_rows(size, arguments.channels, seed=2)
    search = searcher(method, queries, reference, arguments.threads)
    searcher(method, queries[:8], reference[:64], arguments.threads)()  # so that lazy loading is not timed
    before = peak_megabytes()
    times = []
    for _ in range(arguments.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        indices = search()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(times)
    return {
        "method": method,
        "reference_frames": size,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "extra_megabytes": peak_megabytes() - before,
        "indices_sha256": hashlib.sha256(np.sort(indices, axis=1).astype(np.int64).tobytes()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[3_000, 30_000, 300_000])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/nearest_frames.json"))
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    context = multiprocessing.get_context("spawn")
    rows = []
    print(
        f"{'reference':>9} {'method':18} {'CPU s':>8} {'wall s':>8} {'extra MB':>9} {'ratio to torch':>14} {'same':>5}"
    )
    for size in arguments.sizes:
        for method in METHODS:
            with context.Pool(1) as pool:
                row = pool.apply(measure, (method, size, arguments))
            first = next((earlier for earlier in rows if earlier["reference_frames"] == size), row)
            row["ratio_to_torch"] = row["cpu_seconds"] / first["cpu_seconds"]
            row["same_frames"] = row["indices_sha256"] == first["indices_sha256"]
            rows.append(row)
            print(
                f"{size:9} {method:18} {row['cpu_seconds']:8.3f} {row['wall_seconds']:8.3f} "
                f"{row['extra_megabytes']:9.0f} {row['ratio_to_torch']:14.2f} {row['same_frames']!s:>5}",
                flush=True,
            )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
