"""Embeddings: in order, independent of batch and mode, and back from disk as they went."""

import numpy as np
import pandas as pd
import pytest
import torch

from cmr_lib.clips.augment import centre_crop
from cmr_lib.clips.dataset import StudyDataset, collate
from cmr_lib.evaluation import embed, embeddings
from cmr_lib.models.study import StudyImages
from cmr_lib.training.start import start
from tests.toy import toy_settings, toy_store


@pytest.fixture(scope="module")
def world():
    settings = toy_settings()
    store, texts = toy_store(7, without_lge=(1,))
    model, tokenizer = start(settings, list(texts.values()))
    return model, tokenizer, StudyDataset(store, list(texts), settings.frames), list(texts.values())


def test_rows_are_the_studies_in_order(world):
    model, _, dataset, _ = world
    model.train()  # dropout on: embedding must switch it off
    found = embed.embed_studies(model, dataset, 16, batch=3, progress=False)
    assert found.shape == (7, 8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for row in (0, 4):
        one = collate([dataset[row]])
        with torch.inference_mode():
            wanted = model.encode_study(StudyImages.of(one, frames=centre_crop(one["frames"], 16)))
        np.testing.assert_allclose(found[row], wanted[0], atol=1e-5)


def test_embedding_again_gives_the_same_bits(world):
    model, tokenizer, dataset, texts = world
    first, again = (embed.embed_studies(model, dataset, 16, batch=3, progress=False) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(embed.embed_texts(model, tokenizer, texts), embed.embed_texts(model, tokenizer, texts))


def test_the_batch_does_not_matter(world):
    model, tokenizer, dataset, texts = world
    for size in (1, 7, 32):
        found = embed.embed_studies(model, dataset, 16, batch=size, progress=False)
        np.testing.assert_allclose(found, embed.embed_studies(model, dataset, 16, batch=2, progress=False), atol=1e-5)
    np.testing.assert_allclose(
        embed.embed_texts(model, tokenizer, texts, batch=1), embed.embed_texts(model, tokenizer, texts), atol=1e-5
    )


def test_no_report_gives_a_row_of_nan_in_its_place(world):
    model, tokenizer, _, texts = world
    found = embed.embed_texts(model, tokenizer, [texts[0], None, texts[2]])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2]], embed.embed_texts(model, tokenizer, [texts[0], texts[2]]), atol=1e-6)
    assert np.isnan(embed.embed_texts(model, tokenizer, [None, None])).all()


def table(n=4):
    studies = pd.DataFrame(
        {"study_key": [f"{i:016d}" for i in range(n)], "split": "test", "has_report": [True, False] * (n // 2)}
    )
    image = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return studies, image, np.where(studies[["has_report"]], image, np.nan).astype(np.float32)


def test_what_was_written_is_read(tmp_path):
    studies, image, text = table()
    embeddings.write_embeddings(tmp_path, studies.assign(lvef=1.0), image, text)
    found = embeddings.read_embeddings(tmp_path)
    pd.testing.assert_frame_equal(found.studies, studies)  # keys that look like numbers stay words
    assert np.array_equal(found.image, image)
    assert np.array_equal(found.text, text, equal_nan=True)


def test_tables_that_do_not_belong_together_are_refused(tmp_path):
    studies, image, text = table()
    with pytest.raises(ValueError, match="4 studies, 3 image and 4 text"):
        embeddings.write_embeddings(tmp_path, studies, image[:3], text)
    with pytest.raises(ValueError, match="has_report"):
        embeddings.write_embeddings(tmp_path, studies, image, image)
    with pytest.raises(FileNotFoundError, match="stage pretrain"):
        embeddings.read_embeddings(tmp_path / "nothing")
