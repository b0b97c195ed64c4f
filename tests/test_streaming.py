"""Streaming InfoNCE: equal to PyTorch's cross entropy in double precision, in a fraction of the memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cmr_lib import streaming

ROOT = Path(__file__).resolve().parents[1]


def vectors(n, kind):
    """Unit vectors: "hard" pairs have nothing in common, "easy" ones are nearly equal, "sorted" ones get worse."""
    draw = torch.Generator().manual_seed(n)
    x, noise = (torch.randn(n, 16, generator=draw, dtype=torch.float64) for _ in range(2))
    share = {"hard": torch.tensor(1.0), "easy": torch.tensor(0.3), "sorted": torch.linspace(0, 2, n)[:, None]}[kind]
    y = noise if kind == "hard" else x + share * noise
    return [nn.functional.normalize(v, dim=-1) for v in (x, y)]


def judged(loss, x, y, scale):
    """Loss and its three gradients."""
    leaves = [x.clone().requires_grad_(), y.clone().requires_grad_(), scale.clone().requires_grad_()]
    value = loss(*leaves)
    value.backward()
    return [value.detach().double(), *(leaf.grad.double() for leaf in leaves)]


def in_double(x, y, scale):
    logits, pairs = scale * x @ y.T, torch.arange(len(x))
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2


@pytest.mark.parametrize("kind", ["hard", "easy", "sorted"])
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
@pytest.mark.parametrize(("n", "tile"), [(64, 64), (65, 16), (100, 7)])
def test_loss_and_gradients_are_those_of_double_precision(kind, scale, n, tile):
    x, y = vectors(n, kind)
    wanted = judged(in_double, x, y, torch.tensor(scale, dtype=torch.float64))
    found = judged(lambda *a: streaming.info_nce(*a, tile=tile), x.float(), y.float(), torch.tensor(scale))
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    for name, a, b in zip(("images", "texts", "scale"), found[1:], wanted[1:], strict=True):
        assert float((a - b).abs().max()) < 1e-5 * max(1.0, float(b.abs().max())), name


def test_a_later_tile_may_hold_the_largest_logit_by_far():
    x = nn.functional.normalize(torch.arange(1.0, 9.0)[:, None] * torch.tensor([[1.0, 0.0]]) + 1e-3, dim=-1)
    y = x.flip(1)
    y[-1] = x[-1]  # only the last tile's column agrees, with a logit of 10,000
    found = streaming.info_nce(x, y, 1e4, tile=2)
    assert torch.isfinite(found)
    torch.testing.assert_close(found.double(), in_double(x.double(), y.double(), 1e4), rtol=1e-4, atol=0)


MEASURE = """
import torch
from cmr_lib import losses, streaming

def peak(loss):
    open("/proc/self/clear_refs", "w").write("5")
    status = lambda name: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(name))
    before = status("VmRSS:")
    loss(x, y, torch.tensor(100.0, requires_grad=True)).backward()
    return status("VmHWM:") - before

x, y = (torch.nn.functional.normalize(torch.randn(8192, 32), dim=-1).requires_grad_() for _ in range(2))
streaming.info_nce(x[:64], y[:64], 1.0).backward()  # libraries are loaded
print(peak(streaming.info_nce) / peak(losses.info_nce))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_8192_pairs_need_at_most_0_15_of_the_memory():
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 0.15
