"""The phantom's masks lie where the crops of the store show the anatomy: oracle is the pixels that the loader wrote."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cmr_lib import params, project
from cmr_lib.clips import dataset, prepare, store
from cmr_lib.explain import anatomy
from cmr_lib.ingest import heart
from cmr_lib.ingest.studies import read_study
from cmr_lib.simulate import showcase

PLAN = params.FramePlan(
    sax_positions=[0.2, 0.5, 0.8], sax_phases=[0.0, 0.34], lax_views=["lax_4ch"], lax_phases=[0.34],
    lge_positions=[0.5], crop_px=64,
)  # fmt: skip
SIZE = 80


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    smoke = params.read_yaml("params/smoke/simulate.yaml")
    clean = {"mess": dict.fromkeys(smoke["mess"], 0.0), "full_size": {"share": 0.0}, "out_dir": str(folder)}
    return params.check("simulate", params.merge(smoke, {**clean, "data_dir": str(folder)})), folder


@pytest.fixture(scope="module")
def opened(hospital):
    """(stacks, store, name) of the first infarct."""
    settings, folder = hospital
    patient = next(n for n in range(40) if showcase.cohort.phantom_of(settings, n).latents.disease.diagnosis == "ICM")
    (folder / "studies").mkdir()
    path = showcase.write_one(settings, patient, folder / "studies")
    study = read_study(Path(path), project.read_key(None))
    clips = prepare.clips_of(study.stacks, params.ClipShape(size_px=SIZE, spacing_mm=2.0, phases=12))
    store.write_store(folder / "store", [(study.study_key, clips)])
    return study.stacks, store.ClipStore(folder / "store"), study.study_key


def test_the_planes_are_those_that_the_crops_were_cut_on(opened):
    """Oracle: the stacks' own pixels, sampled where the plane says, are the pixels that the loader stored."""
    stacks, clips, _ = opened
    axis = heart.long_axis(stacks)
    crops = anatomy.crops_of(stacks, SIZE, 2.0)
    assert len(crops) == len(clips)
    rows, cols = np.mgrid[:SIZE, :SIZE].reshape(2, -1, 1)
    found = iter(crops)
    for stack, places in zip(stacks, prepare.positions(stacks, axis), strict=True):
        for index, position in enumerate(places):
            plane, table = next(found).plane, clips.index
            kind = (table["view"] == stack.view) & (table["sequence"] == stack.sequence) & (table["slice"] == index)
            row = table.index[kind & np.isclose(table["position"], position)][0]
            points = plane.origin_mm + 2.0 * (rows * plane.col_dir + cols * plane.row_dir)
            pixels = np.array([heart.to_pixel(stack, index, point) for point in points])
            mine = ndimage.map_coordinates(stack.pixels[index, 0], pixels.T, order=1)
            assert np.corrcoef(mine, clips.frames(row)[0].ravel())[0, 1] > 0.99  # but for the window's ends


def test_masks_lie_on_the_tissues_that_the_images_show(hospital, opened):
    settings, folder = hospital
    _, clips, name = opened
    found = anatomy.masks(settings, anatomy.visits(settings, folder)[name], clips.of_study(name), PLAN, SIZE)
    assert set(found) == set(anatomy.REGIONS)
    images = dataset.StudyDataset(clips, [name], PLAN)[0]["frames"][:, 0, 8:-8, 8:-8].astype(float)
    moving = [n for n, place in enumerate(dataset.places(PLAN)) if place.sequence == "cine"]
    for frame in moving:
        cavity, septum = found["cavity"][frame], found["septum"][frame]
        ring = ndimage.binary_dilation(cavity, iterations=2) & ~cavity & found["heart"][frame]
        inside = ndimage.binary_erosion(cavity)
        if inside.sum() > 20:
            assert images[frame][inside].mean() > 1.5 * images[frame][ring & ~ndimage.binary_dilation(inside)].mean()
        assert not (cavity & septum).any()
        assert (septum <= found["heart"][frame]).all()
    late = next(n for n, place in enumerate(dataset.places(PLAN)) if place.sequence == "lge")
    scar = found["scar"][late]
    muscle = found["heart"][late] & ~scar & ~found["cavity"][late] & found["septum"][late]
    assert scar.sum() > 5
    assert images[late][scar].mean() > 1.5 * images[late][muscle].mean()
    assert not found["scar"][moving].any()
    # the septum lies on the image's left of the cavity (radiological convention) on the short axis
    middle = 2
    left, right = (np.argwhere(found[what][middle])[:, 1].mean() for what in ("septum", "cavity"))
    assert left < right - 3


def test_a_shifted_mask_would_be_noticed(hospital, opened):
    """The contrast between blood and its ring is largest where the mask says it is."""
    settings, folder = hospital
    _, clips, name = opened
    found = anatomy.masks(settings, anatomy.visits(settings, folder)[name], clips.of_study(name), PLAN, SIZE)
    image = dataset.StudyDataset(clips, [name], PLAN)[0]["frames"][2, 0, 8:-8, 8:-8].astype(float)
    cavity = found["cavity"][2]

    def contrast(down, right):
        moved = np.roll(cavity, (down, right), axis=(0, 1))
        return image[moved].mean() - image[ndimage.binary_dilation(moved, iterations=2) & ~moved].mean()

    best = max(((d, r) for d in range(-4, 5) for r in range(-4, 5)), key=lambda place: contrast(*place))
    assert max(map(abs, best)) <= 1


def test_a_store_of_another_study_is_refused_in_a_sentence(hospital, opened):
    settings, folder = hospital
    _, clips, name = opened
    wrong = clips.of_study(name).assign(slice=99)
    with pytest.raises(ValueError, match="Archive and clip store do not match"):
        anatomy.masks(settings, anatomy.visits(settings, folder)[name], wrong, PLAN, SIZE)
