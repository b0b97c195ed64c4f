"""Where the own item of each query stands, both ways from one product of the embeddings: the fast strict case.

Row i of one side belongs to row i of the other and to no other. The product is made in blocks and in single precision,
which settles all but the items closer to the own one than single precision can tell (`margin`); only the queries that
have such items are asked again in double precision. The ranks are those of `places.places` to the last tie.
"""

import numpy as np
from jaxtyping import Float, Int

from cmr_lib.evaluation import places

BLOCK_BYTES = 8 * 2**20  # of one block of similarities: near the size of a processor cache
UNIT = 2.0**-24  # of rounding in single precision

Embeddings = Float[np.ndarray, "pairs embed"]
Texts = Float[np.ndarray, "texts embed"]  # as many; the numbers are compared with a sentence of our own
Counts = Int[np.ndarray, " pairs"]


def margin(width: int) -> float:
    """No cosine of unit vectors of this width is farther off in single precision, rounded to DECIMALS.

    The dot product's bound is width × UNIT (Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1).
    """
    return (width + 8) * UNIT + 10.0**-places.DECIMALS


def _bounds(image: Embeddings, text: Embeddings) -> tuple[tuple[Counts, Counts], tuple[Counts, Counts]]:
    """Items surely above, and not surely below the own one: of every image's reports, of every report's images."""
    n, own, off = len(image), np.einsum("ij,ij->i", image.astype(float), text.astype(float)), margin(image.shape[1])
    above, level = (own + off).astype(np.float32), (own - off).astype(np.float32)
    turned = np.ascontiguousarray(text.T, dtype=np.float32)
    size = min(n, max(1, BLOCK_BYTES // (4 * n)))
    held, forth, back = np.empty((size, n), np.float32), [], np.zeros((2, n), dtype=int)
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        similarity = np.matmul(image[rows].astype(np.float32), turned, out=held[: rows.stop - start])
        for way, edge in enumerate((above, level)):
            forth.append(np.count_nonzero(similarity >= edge[rows, None], axis=1))
            back[way] += np.count_nonzero(similarity >= edge, axis=0)
    return (np.concatenate(forth[::2]), np.concatenate(forth[1::2])), (back[0], back[1])


def _settled(queries: Embeddings, gallery: Embeddings, above: Counts, level: Counts) -> places.Places:
    """Places from the bounds; where they leave a doubt, from the exact similarities of those queries."""
    better, ties = above.copy(), np.zeros(len(queries), dtype=int)
    turned = np.ascontiguousarray(gallery.T, dtype=float) * 10.0**places.DECIMALS
    doubtful = np.flatnonzero(level - above > 1)
    size = max(1, BLOCK_BYTES // (8 * len(gallery)))
    for start in range(0, len(doubtful), size):
        rows = doubtful[start : start + size]
        found = places.places_of_one(np.rint(queries[rows].astype(float) @ turned), rows)
        better[rows], ties[rows] = found.better, found.ties
    one = np.ones(len(queries), dtype=int)
    return places.Places(better, ties, one, one, len(gallery))


def places_both_ways(image: Embeddings, text: Texts) -> tuple[places.Places, places.Places]:
    """Places of every image's own report among all reports, and of every report's own image among all images.

    image, text: aligned, L2-normalised. Ties count as in `retrieval`. Memory grows with the pairs, not their square.
    Raises ValueError for unequal lengths, none, or NaN.
    """
    if len(image) != len(text) or not len(image):
        raise ValueError(f"Not aligned, or nothing to find: {len(image)} images, {len(text)} texts.")
    if not (np.isfinite(image).all() and np.isfinite(text).all()):
        raise ValueError("The embeddings hold NaN or infinity: leave studies without a report out.")
    forth, back = _bounds(image, text)
    return _settled(image, text, *forth), _settled(text, image, *back)
