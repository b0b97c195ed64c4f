"""Losses against numbers worked by hand, loops, PyTorch in double precision, and their symmetries."""

import math

import pytest
import torch

from cmr_lib.losses import info_nce, multi_positive, norm_softmax, sigmoid


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


def log_softmax(values, chosen):
    top = max(values)
    return values[chosen] - top - math.log(sum(math.exp(value - top) for value in values))


def similarities(x, y):
    return [[float(a @ b) for b in y] for a in x]


def test_the_published_loss_is_the_sum_of_both_directions_at_a_fixed_temperature():
    x, y = unit(5, 4, 0), unit(5, 4, 1)
    table = similarities(x, y)
    wanted = 0.0
    for i in range(5):
        wanted -= log_softmax([value / 0.05 for value in table[i]], i) / 5
        wanted -= log_softmax([row[i] / 0.05 for row in table], i) / 5
    assert float(norm_softmax(x, y)) == pytest.approx(wanted, rel=1e-5)
    same = torch.ones(6, 3) / math.sqrt(3)
    assert float(norm_softmax(same, same)) == pytest.approx(2 * math.log(6), abs=1e-5)


def test_the_sigmoid_loss_judges_every_pair_on_its_own():
    x, y, s, b = unit(5, 4, 0), unit(5, 4, 1), 7.0, -2.5
    table = similarities(x, y)
    wanted = 0.0
    for i in range(5):
        for j in range(5):
            z = 1 if i == j else -1
            wanted += math.log(1 + math.exp(-z * (s * table[i][j] + b))) / 5
    assert float(sigmoid(x, y, s, b)) == pytest.approx(wanted, rel=1e-5)


def test_the_sigmoid_loss_does_not_overflow():
    axes = torch.eye(4)
    assert float(sigmoid(axes, axes.roll(1, 0), 100.0, 0.0)) == pytest.approx(
        (4 * math.log(2) + 4 * 100 + 8 * math.log(2)) / 4
    )


def test_several_right_answers_share_the_weight():
    x, y, s = unit(4, 3, 0), unit(4, 3, 1), 6.0
    positive = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    table, wanted = [[s * value for value in row] for row in similarities(x, y)], 0.0
    for i in range(4):
        right = [j for j in range(4) if positive[i, j]]
        wanted -= sum(log_softmax(table[i], j) for j in right) / len(right) / 8
        wanted -= sum(log_softmax([row[i] for row in table], j) for j in right) / len(right) / 8
    assert float(multi_positive(x, y, s, positive)) == pytest.approx(wanted, rel=1e-5)


def test_with_its_own_report_alone_right_it_is_info_nce_and_never_without_it():
    x, y, own = unit(7, 4, 0), unit(7, 4, 1), torch.eye(7, dtype=torch.bool)
    assert float(multi_positive(x, y, 9.0, own)) == pytest.approx(float(info_nce(x, y, 9.0)), rel=1e-6)
    own[3, 3] = False
    with pytest.raises(ValueError, match="right answer for itself"):
        multi_positive(x, y, 9.0, own)


@pytest.mark.parametrize("loss", [norm_softmax, sigmoid, lambda a, b: multi_positive(a, b, 3.0, torch.ones(3, 3) > 0)])
def test_gradients_of_the_other_losses_are_those_of_finite_differences(loss):
    x, y, step = unit(3, 2, 0).float().requires_grad_(), unit(3, 2, 1).float(), 1e-2
    call = (lambda a, b: sigmoid(a, b, 3.0, -1.0)) if loss is sigmoid else loss
    call(x, y).backward()
    for i in range(3):
        move = torch.zeros(3, 2)
        move[i, 1] = step
        slope = float(call(x.detach() + move, y) - call(x.detach() - move, y)) / (2 * step)
        assert float(x.grad[i, 1]) == pytest.approx(slope, rel=2e-2, abs=5e-3)
