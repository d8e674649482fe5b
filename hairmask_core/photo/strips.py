"""Work on a photo in strips of rows, on all cores at once: so memory is bounded and the work can be stopped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

STRIP_PIXELS = 1 << 20  # work on a photo goes in strips of about this many pixels
MOST_THREADS = 8  # strips that are worked on at once: each takes tens of megabytes
T = TypeVar("T")  # whatever the work on a strip gives


def row_strips(height: int, width: int) -> Iterator[slice]:
    """Row ranges that cover a photo from top to bottom, about STRIP_PIXELS pixels each."""
    rows = max(1, STRIP_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def work_in_strips(
    work: Callable[[slice], T],
    height: int,
    width: int,
    report: Callable[[float], None] = lambda fraction: None,
) -> Iterator[tuple[slice, T]]:
    """`work(rows)` for row ranges that cover a photo, on all cores at once: (rows, what it gave) from top to bottom.

    report: called with the fraction done, 0…1, after each; where it raises, or nobody wants the rest, the work stops.
    Only a few results are kept waiting.
    """
    workers = min(os.cpu_count() or 1, MOST_THREADS)
    step = max(1, min(STRIP_PIXELS // 2 // max(width, 1), -(-height // workers)))
    left = (slice(top, min(top + step, height)) for top in range(0, height, step))
    with ThreadPoolExecutor(max(1, workers - 1)) as pool:
        begun: deque[_Strip] = deque()
        try:
            while True:
                begun.extend(_Strip(rows, pool.submit(work, rows)) for rows in islice(left, 2 * workers - len(begun)))
                if not begun:
                    return
                # This thread works as well, on what no other has begun: asleep, it would leave its core free.
                while not begun[0].result.done():
                    own = next((strip for strip in begun if strip.result.cancel()), None)
                    if own is None:
                        break
                    own.result = Future()
                    own.result.set_result(work(own.rows))
                first = begun.popleft()
                yield first.rows, first.result.result()
                report(first.rows.stop / height)
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Strip:
    rows: slice
    result: Future
