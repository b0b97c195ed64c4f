"""One patient's heart in its chest: ask it for a label image or a noiseless picture on any plane, at any phase."""

from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from cmr_lib import project
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import motion
from cmr_lib.simulate.anatomy import ANGLES, HeartShape, build_shape
from cmr_lib.simulate.heart import HeartFrame, Rays, make_frame, make_rays, stacked
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.layers import Layer, heart_layers, labels_of, reaches_base, sac_layers
from cmr_lib.simulate.plane import Plane, Vector
from cmr_lib.simulate.signal import MUSCLE, Contrast, Signals, nulling_time, tissue_signals
from cmr_lib.simulate.thorax import Thorax, build_thorax, thorax_layers
from cmr_lib.types import Sequence

Image = Float32[np.ndarray, "rows cols"]
Boxes = Float32[np.ndarray, "samples high wide"]  # the heart's part of thin slices
Labels = UInt8[np.ndarray, "rows cols"]
Values = Float32[np.ndarray, "*shape"]
NOWHERE = np.zeros(3)
# No tissue is perfectly even: waves of brightness, one standard deviation each.
TEXTURE_WAVES, TEXTURE_SHARE = 10, 0.022


def default_contrast(heart_rate: float = 68.0) -> Contrast:
    """A plain 1.5 T protocol: bSSFP with a flip angle of 55°, late enhancement with the muscle nulled."""
    rr = 60000 / heart_rate
    return Contrast(3.4, 1.6, 55.0, nulling_time(MUSCLE.t1_late, rr), rr, 1.5, 1.1)


class Phantom:
    """A heart and its chest. `truth` (a dict of numbers, as in truth.csv) is measured from the labels on first use."""

    def __init__(self, latents: Latents) -> None:
        self.latents = latents
        self.shape: HeartShape = build_shape(latents)
        self.thorax: Thorax = build_thorax(latents)
        random = project.rng(latents.shape_seed, "texture")
        way = random.normal(size=(TEXTURE_WAVES, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        self._waves = (2 * np.pi * way / random.uniform(9, 45, (TEXTURE_WAVES, 1))).astype(np.float32)  # per mm
        self._starts = random.uniform(0, 2 * np.pi, TEXTURE_WAVES).astype(np.float32)
        self._frames: dict[float, HeartFrame] = {}

    @cached_property
    def truth(self) -> dict[str, Any]:
        """Volumes, function and findings measured on the rasterised labels (see `truth.measure`)."""
        from cmr_lib.simulate.truth import measure

        return measure(self)

    @property
    def systole(self) -> float:
        """The phase at which the ventricle is smallest; an acquired frame only comes near it."""
        return motion.end_systole(self.shape.beat)

    def signals(self, sequence: Sequence, contrast: Contrast) -> Signals:
        """Brightness of every tissue in this patient (`signal.tissue_signals`)."""
        amyloid = self.latents.disease.diagnosis is Diagnosis.AMY and self.latents.disease.lge_pattern != "none"
        return tissue_signals(sequence, contrast, amyloid=amyloid)

    def frame(self, phase: float) -> HeartFrame:
        """The heart solved at a phase of RR (kept: a study asks for the same phases again and again)."""
        key = round(float(phase) % 1.0, 6)
        if key not in self._frames:
            self._frames[key] = make_frame(self.shape, self.latents.targets, key)
        return self._frames[key]

    def texture(self, plane: Plane, offset_mm: Vector = NOWHERE) -> Image:
        """Unevenness of the tissues' brightness over a plane (rows, cols), about 1; fixed to the patient."""
        total = np.zeros((plane.rows, plane.cols), dtype=np.float32)
        for wave, start in zip(self._waves, self._starts, strict=True):
            along = plane.spacing_mm * (plane.row_dir @ wave) * np.arange(plane.cols)
            down = (
                plane.spacing_mm * (plane.col_dir @ wave) * np.arange(plane.rows) + (plane.origin_mm - offset_mm) @ wave
            )
            # the real part of a product is cheaper than a cosine a pixel
            total += np.outer(np.exp(1j * (down + start)), np.exp(1j * along)).real.astype(np.float32)
        return 1 + np.float32(TEXTURE_SHARE * np.sqrt(2)) * total

    def rays(self, plane: Plane, offset_mm: Vector = NOWHERE) -> Rays:
        """The plane's pixels in the heart frame; `offset_mm` is how far the heart has moved under the plane."""
        pose = self.shape.pose
        return make_rays(*plane.points(pose.origin_mm + offset_mm, pose.axes), ANGLES)

    def labels(self, plane: Plane, phase: float, offset_mm: Vector = NOWHERE) -> Labels:
        """TISSUES values (rows, cols) in the middle of the slice at a phase of RR (0 is end-diastole)."""
        chest = thorax_layers(self.thorax, *plane.points(offset_mm, np.eye(3)))
        rays = self.rays(plane, offset_mm)
        return labels_of(chain(chest, heart_layers(self.frame(phase), rays, True)), rays.x)

    def heart_labels(self, plane: Plane, phase: float) -> Labels:
        """The same without the chest (0 outside the heart), for measuring."""
        rays = self.rays(plane)
        return labels_of(heart_layers(self.frame(phase), rays, False), rays.x)

    def point_labels(self, x: Values, y: Values, z: Values, phase: float) -> UInt8[np.ndarray, "*shape"]:
        """TISSUES values at points given in the heart frame (mm); 0 outside the heart."""
        return labels_of(heart_layers(self.frame(phase), make_rays(x, y, z, ANGLES), False), x)

    def render(
        self,
        plane: Plane,
        phase: float,
        sequence: Sequence = Sequence.CINE,
        contrast: Contrast | None = None,
        samples: int = 3,
    ) -> Image:
        """A noiseless picture (rows, cols) on a plane: `samples` thin slices over the thickness.

        Left-ventricular blood is about 1 in a cine; late enhancement is a magnitude in which scar is about 1. Raises
        ValueError for another sequence or fewer than one sample.
        """
        signals = self.signals(sequence, contrast or default_contrast(self.latents.heart_rate))
        return np.abs(SliceRenderer(self, plane, samples).image(phase, signals, sequence is Sequence.LGE))


def paint(image: Values, layers: list[Layer], signals: Signals, spacing_mm: float) -> Values:
    """Paint layers over one or more images in place, each with a soft edge one pixel wide (partial volume)."""
    scale = np.float32(1 / spacing_mm)
    for tissue, depth in layers:
        cover = depth * scale
        cover += np.float32(0.5)
        if cover.max() <= 0:
            continue
        np.minimum(np.maximum(cover, np.float32(0), out=cover), np.float32(1), out=cover)
        cover *= signals[tissue] - image
        image += cover
    return image


class SliceRenderer:
    """One slice, many phases: the chest is painted once, the beating heart only in its box.

    `offset_mm` is the breath-hold shift of the patient under this slice, in patient coordinates.
    """

    def __init__(self, phantom: Phantom, plane: Plane, samples: int = 3, offset_mm: Vector = NOWHERE) -> None:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}.")
        self.phantom, self.plane, self.offset = phantom, plane, offset_mm
        steps = ((np.arange(samples) + 0.5) / samples - 0.5) * plane.thickness_mm
        # A selective pulse excites the middle of a slice more than its edges.
        profile = np.cos(np.pi * (np.arange(samples) + 0.5 - samples / 2) / (samples + 1))
        self.weights = (profile / profile.sum()).astype(np.float32)
        self.thin = [plane.shifted(float(step)) for step in steps]
        self.texture = phantom.texture(plane, offset_mm)
        self._chests: dict[bytes, tuple[Boxes, Image]] = {}
        self._stacks: dict[tuple[int, int], Rays] = {}
        self.box = self._heart_box()
        self.rays = [phantom.rays(thin.cropped(*self.box), offset_mm) for thin in self.thin]

    def _heart_box(self) -> tuple[slice, slice]:
        """Rows and columns that the heart ever covers on this plane."""
        rays = self.phantom.rays(self.plane, self.offset)
        cover = np.zeros((self.plane.rows, self.plane.cols), dtype=bool)
        for phase in (0.0, self.phantom.systole):
            cover |= next(sac_layers(self.phantom.frame(phase), rays))[1] > -4
        rows, cols = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if not rows.size:
            return slice(0, 1), slice(0, 1)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)

    def _chest(self, signals: Signals) -> tuple[Boxes, Image]:
        """The chest behind the heart's box of every thin slice, and the still picture, at these brightnesses."""
        key = signals.tobytes()
        if key not in self._chests:
            boxes, total = [], np.zeros((self.plane.rows, self.plane.cols), dtype=np.float32)
            for thin, weight in zip(self.thin, self.weights, strict=True):
                image = np.zeros_like(total)
                layers = thorax_layers(self.phantom.thorax, *thin.points(self.offset, np.eye(3)))
                paint(image, list(layers), signals, thin.spacing_mm)
                boxes.append(image[self.box].copy())
                total += image * weight
            self._chests[key] = np.stack(boxes), total * self.texture
        return self._chests[key]

    def image(self, phase: float, signals: Signals, scar: bool) -> Image:
        """The slice at a phase of RR (rows, cols): its thin slices, weighted by the slice profile."""
        chests, still = self._chest(signals)
        frame, weights = self.phantom.frame(phase), self.weights[:, None, None]
        heart = np.zeros_like(still[self.box])
        for part in self._alike(frame):
            layers = list(heart_layers(frame, self._stack(part), scar))
            for image in paint(chests[part].copy(), layers, signals, self.plane.spacing_mm) * weights[part]:
                heart += image
        whole = still.copy()
        whole[self.box] = heart * self.texture[self.box]
        return whole

    def _alike(self, frame: HeartFrame) -> list[slice]:
        """Runs of thin slices of which all or none reach the base, where other layers are painted."""
        high = [reaches_base(frame, rays) for rays in self.rays]
        edges = [0, *(at for at in range(1, len(high)) if high[at] != high[at - 1]), len(high)]
        return [slice(start, end) for start, end in pairwise(edges)]

    def _stack(self, part: slice) -> Rays:
        """The rays of a run of thin slices at once (kept: the same for most phases)."""
        key = (part.start, part.stop)
        if key not in self._stacks:
            self._stacks[key] = stacked(self.rays[part])
        return self._stacks[key]
