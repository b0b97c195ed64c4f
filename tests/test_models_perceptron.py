"""The perceptron that makes GELU's output again: bit for bit the plain one, with less kept."""

import pytest
import torch
from torch import nn

from benchmarks.encoder import kept_bytes, storages
from benchmarks.peers import grey
from cmr_lib.models import perceptron
from cmr_lib.models.perceptron import Perceptron
from cmr_lib.models.video import VideoConfig, VideoEncoder

SHAPE = (2, 13, 16)


def plain(layer):
    return nn.Sequential(*layer)


def gradients(layer, x):
    torch.manual_seed(3)  # of dropout
    layer.zero_grad()
    x = x.clone().requires_grad_()
    out = layer(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), x.grad, *(weight.grad for weight in layer.parameters())]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_outputs_and_gradients_are_the_same_bits(dropout, precision):
    torch.manual_seed(0)
    layer, x = Perceptron(16, dropout).train(), torch.randn(SHAPE)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found, wanted = gradients(layer, x), gradients(plain(layer), x)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_the_wide_layer_is_kept_once():
    layer, x = Perceptron(16, 0.0), torch.randn(SHAPE)
    wide = 4 * x.numel() * 4
    own = storages(layer)
    assert kept_bytes(lambda: plain(layer)(x), own) - kept_bytes(lambda: layer(x), own) == wide


def test_inside_checkpointing_nothing_is_kept_in_its_place(monkeypatch):
    made, begin = [], perceptron._Again.__init__
    monkeypatch.setattr(perceptron._Again, "__init__", lambda *what: made.append(1) or begin(*what))
    images = grey(2, 3, 16)
    model = VideoEncoder(VideoConfig(16, 8, "patch", 16, 2, 2)).train()
    for recompute, wanted in ((False, 2), (True, 0), (False, 2)):  # one a block
        model.recompute = recompute
        made.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
            model(images)
        assert model.recompute is recompute
        assert len(made) == wanted


def test_weights_keep_names_and_draws():
    torch.manual_seed(0)
    layer = Perceptron(8, 0.1)
    torch.manual_seed(0)
    other = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8), nn.Dropout(0.1))
    assert list(layer.state_dict()) == list(other.state_dict())
    assert all(torch.equal(layer.state_dict()[name], value) for name, value in other.state_dict().items())


def test_a_second_pass_through_the_same_graph_and_none_without_gradients():
    layer, x = Perceptron(16, 0.0), torch.randn(SHAPE, requires_grad=True)
    out = layer(x).square().sum()
    (first,) = torch.autograd.grad(out, x, retain_graph=True)
    (second,) = torch.autograd.grad(out, x)
    assert torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(layer(x), plain(layer)(x))
