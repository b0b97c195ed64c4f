"""InfoNCE against numbers worked by hand, loops, and its symmetries."""

import math

import pytest
import torch

from cmr_lib.losses import info_nce


def unit(rows, width, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=draw, dtype=torch.float64), dim=-1)


def test_two_pairs_by_hand():
    # similarities [[1, 0], [0.6, 0.8]] at scale 1
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rows = [-math.log(math.e / (math.e + 1)), -math.log(math.exp(0.8) / (math.exp(0.6) + math.exp(0.8)))]
    columns = [
        -math.log(math.e / (math.e + math.exp(0.6))),
        -math.log(math.exp(0.8) / (1 + math.exp(0.8))),
    ]
    assert float(info_nce(image, text, 1.0)) == pytest.approx(sum(rows + columns) / 4, abs=1e-6)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_without_knowledge_it_is_the_log_of_the_batch(n):
    same = torch.ones(n, 3) / math.sqrt(3)
    assert float(info_nce(same, same, 14.3)) == pytest.approx(math.log(n), abs=1e-5)


def test_equals_a_loop_over_its_definition():
    x, y, s = unit(6, 4, 0), unit(6, 4, 1), 9.0
    total = 0.0
    for i in range(6):
        pair = math.exp(s * float(x[i] @ y[i]))
        total += math.log(pair / sum(math.exp(s * float(x[i] @ y[j])) for j in range(6)))
        total += math.log(pair / sum(math.exp(s * float(x[j] @ y[i])) for j in range(6)))
    assert float(info_nce(x, y, s)) == pytest.approx(-total / 12, rel=1e-5)


def test_towers_may_change_places_and_pairs_their_order():
    x, y = unit(8, 4, 0), unit(8, 4, 1)
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    assert float(info_nce(x, y, 5.0)) == pytest.approx(float(info_nce(y, x, 5.0)), rel=1e-6)
    assert float(info_nce(x, y, 5.0)) == pytest.approx(float(info_nce(x[order], y[order], 5.0)), rel=1e-5)


def test_right_pairs_cost_nothing_and_wrong_pairs_cost_the_scale():
    axes = torch.eye(4)
    assert float(info_nce(axes, axes, 100.0)) < 1e-6
    assert float(info_nce(axes, axes.roll(1, 0), 100.0)) == pytest.approx(100.0, rel=1e-3)


def test_the_gradient_is_that_of_finite_differences():
    x, y = unit(3, 2, 0).float().requires_grad_(), unit(3, 2, 1).float()
    info_nce(x, y, 3.0).backward()
    step = 1e-2
    for i in range(3):
        for j in range(2):
            move = torch.zeros(3, 2)
            move[i, j] = step
            still = x.detach()
            slope = float(info_nce(still + move, y, 3.0) - info_nce(still - move, y, 3.0)) / (2 * step)
            assert float(x.grad[i, j]) == pytest.approx(slope, abs=2e-3)


def test_half_precision_embeddings_are_compared_in_single_precision():
    x = unit(4, 8, 0).bfloat16()
    assert info_nce(x, x, 20.0).dtype == torch.float32
