"""The benchmarks of the model measure what they say, at sizes that take no time, with no peer at hand."""

import contextlib
import sys

import pytest
import torch

from benchmarks import encoder, gpu_step, peer_fixtures, peers
from cmr_lib.models.video import VideoConfig, VideoEncoder

CPU = torch.device("cpu")
TINY = gpu_step.Scale(frames=3, side=16, patch=8, width=16, depth=1, heads=2, tokens=8, vocabulary=40, embed_dim=8)


def test_kept_bytes_are_those_of_arrays_that_the_backward_pass_needs():
    weight = torch.nn.Parameter(torch.ones(4))
    x = torch.ones(3, 4)
    own = {weight.untyped_storage().data_ptr()}
    assert encoder.kept_bytes(lambda: x * weight, own) == x.numel() * 4
    assert encoder.kept_bytes(lambda: (x * weight).exp(), own) == 2 * x.numel() * 4  # x, and what exp gave
    assert encoder.kept_bytes(lambda: x + weight, own) == 0


def test_pruning_keeps_less_than_the_whole_last_block():
    images = peers.grey(2, 3, 16)
    model = VideoEncoder(VideoConfig(16, 8, "patch", 16, 2, 2)).train()
    whole = VideoEncoder(VideoConfig(16, 8, "patch", 16, 2, 2, readout="mean")).train()
    kept = [encoder.kept_bytes(lambda side=side: side(images), encoder.storages(side)) for side in (model, whole)]
    assert kept[0] < 0.8 * kept[1]


def test_a_side_that_does_twice_the_work_is_half_as_fast():
    x = torch.randn(300, 300)

    def work(times):
        return lambda: [x @ x for _ in range(times)]

    ratios = encoder.rounds_of([work(20), work(40)], 9)
    median, low, high = encoder.interval(ratios)
    assert low <= median <= high
    assert 1.4 < median < 2.8


def test_a_checkout_that_is_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="name the folder of the peer's repository"):
        peers.module(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "video_transformer.py").write_text("import no_such_library\n")
    with pytest.raises(ImportError, match="wants no_such_library"):
        peers.module(tmp_path)


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_step.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu_step.main()
    assert "not measured: this machine offers no GPU" in capsys.readouterr().out


def test_our_step_trains_and_its_work_grows_with_the_batch():
    how = gpu_step.how_of()
    with gpu_step.our_step(TINY, 2, CPU, how, "fp32") as run:
        losses = [run().loss for _ in range(3)]
        two = gpu_step.flops_of(run)
    assert losses[-1] < losses[0]
    with gpu_step.our_step(TINY, 4, CPU, how, "fp32") as run:
        four = gpu_step.flops_of(run)
    assert two > 0
    assert four / two == pytest.approx(2, rel=0.02)  # the comparison of all pairs is not linear


def test_the_largest_batch_is_found_and_other_errors_are_not_taken_for_it(monkeypatch):
    monkeypatch.setattr(gpu_step.gc, "collect", lambda: 0)  # after every try, in a process full of other tests' things

    def step_of(limit, words):
        def make(studies):
            def run():
                if studies > limit:
                    raise RuntimeError(words)

            return contextlib.nullcontext(run)

        return make

    assert gpu_step.largest(gpu_step.runs(step_of(5, "CUDA out of memory."))) == 5
    for guess in (1, 16, 55, 200):
        assert 50 <= gpu_step.largest(gpu_step.runs(step_of(55, "CUDA out of memory.")), guess) <= 55
    assert gpu_step.largest(lambda _: True, 3, limit=64) >= 64
    assert gpu_step.largest(gpu_step.runs(step_of(0, "CUDA out of memory."))) == 0
    with pytest.raises(RuntimeError, match="a bug"):
        gpu_step.largest(gpu_step.runs(step_of(5, "a bug")))


def test_all_numbers_are_there(monkeypatch):
    monkeypatch.setattr(gpu_step, "largest", lambda *_: 3)
    monkeypatch.setattr(gpu_step, "PRODUCT", 64)
    found = gpu_step.measure(TINY, 16, CPU, gpu_step.how_of(), None, 2)
    ours = found["alone"]["ours"]
    assert found["alone"]["studies"] == found["together"]["studies"] == 3
    assert ours["studies_a_second"] == pytest.approx(3 / ours["step_s"]["value"])
    work = found["tflop_a_study"] * ours["studies_a_second"]
    assert ours["share_of_rate"] == pytest.approx(work / found["matmul_tflops"])
    assert found["together"]["incomplete"]["share_of_rate"] > 0
    assert "peer_over_ours" not in found


def test_fixtures_that_a_peer_does_not_give_are_an_error(monkeypatch, capsys):
    content = peer_fixtures.load_file(peer_fixtures.DATA / "cmr_clip.safetensors")
    given = {name: content[name] for name in ("video", "text", "similarity")}
    monkeypatch.setattr(sys, "argv", ["peer_fixtures.py"])
    monkeypatch.setattr(peer_fixtures, "cmr_clip", lambda *_: given)
    assert peer_fixtures.main(["--cmr-clip", "there"]) == 0
    assert "largest difference 0.0e+00" in capsys.readouterr().out
    given["text"] = given["text"] + 1e-4
    assert peer_fixtures.main(["--cmr-clip", "there"]) == 1
    assert peer_fixtures.main([]) == 2


def test_the_peers_outputs_are_asked_of_a_checkout(tmp_path):
    with pytest.raises(FileNotFoundError, match="not in the checkout"):
        peer_fixtures.main(["--frozen-in-time", str(tmp_path)])
