"""Training at the published scale, and on a GPU: marked, since neither fits an ordinary run."""

import resource
from pathlib import Path

import numpy as np
import pytest

from cmr_lib import params
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.training import loop
from cmr_lib.training.job import Job
from cmr_lib.training.start import start
from tests.toy import ToyStore, toy_settings, toy_store

PAPER = Path(__file__).resolve().parents[1] / "params" / "paper" / "pretrain.yaml"
PHASES = [number / 32 for number in range(32)]
ONE_CLIP = {"sax_positions": [0.2], "sax_phases": PHASES, "lax_views": [], "lge_positions": []}
TRIAL = {
    "out_dir": "out",
    "in_root": "in",
    "frames": ONE_CLIP,
    "text": {"pretrained": None, "vocabulary": 140},  # DistilBERT's architecture, without its downloaded weights
    "optim": {"batch_studies": 2, "epochs": 10, "max_steps": 20},
    "device": "cpu",
    "precision": "fp32",
}


def enlarged(store: ToyStore, times: int) -> ToyStore:
    return ToyStore(store.index, [np.kron(clip, np.ones((1, times, times), np.uint8)) for clip in store._clips])


@pytest.mark.slow
def test_vit_b_16_at_224_px_and_32_frames_trains_twenty_steps_of_two_studies_on_a_cpu():
    settings = params.check("pretrain", params.merge(params.read_yaml(PAPER), TRIAL))
    store, texts = toy_store(4)
    train = StudyDataset(enlarged(store, 12), list(texts), settings.frames)
    model, tokenizer = start(settings, list(texts.values()))
    assert sum(weight.numel() for weight in model.video.parameters()) > 110e6
    history = loop.fit(Job(model, tokenizer, train, texts, None, settings), progress=False)
    assert len(history) == 10  # two steps an epoch
    assert np.isfinite(history.loss).all()
    assert history.skipped_steps.sum() == 0
    assert history.temporal_qk_grad_norm.iloc[-1] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 18 * 2**20  # KiB


@pytest.mark.gpu
def test_bf16_on_a_gpu_trains_and_ends_on_it():
    settings = toy_settings(device="cuda", precision="bf16")
    store, texts = toy_store()
    train = StudyDataset(store, list(texts), settings.frames)
    model, tokenizer = start(settings, list(texts.values()))
    history = loop.fit(Job(model, tokenizer, train, texts, None, settings), progress=False)
    assert model.log_scale.device.type == "cuda"
    assert np.isfinite(history.loss).all()
    assert history.loss.iloc[-1] < history.loss.iloc[0]


@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_after_a_stop(tmp_path, monkeypatch):
    settings = toy_settings(device="cuda", precision="bf16", checkpoint_epochs=1)
    store, texts = toy_store()
    train = StudyDataset(store, list(texts), settings.frames)

    def fit():
        model, tokenizer = start(settings, list(texts.values()))
        return loop.fit(Job(model, tokenizer, train, texts, None, settings), tmp_path, progress=False)

    real, calls = loop.step.train_step, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop.step, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit()
    left = []
    monkeypatch.setattr(loop.step, "train_step", lambda *arguments: left.append(1) or real(*arguments))
    history = fit()
    before = len(train) // settings.optim.batch_studies  # steps of an epoch: the first one's checkpoint was there
    assert 0 < len(left) < settings.optim.epochs * before
    assert len(history) == settings.optim.epochs
    assert np.isfinite(history.loss).all()
