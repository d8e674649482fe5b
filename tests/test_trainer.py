"""The loop that all networks learn in: schedule, order of the samples, checkpoints, going on."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.training import trainer
from models.training.trainer import Phase, Plan, Samples, train

pytestmark = pytest.mark.training

PLAN = Plan((Phase(8, 2, 5), Phase(12, 3, 4)), rate=0.02, seed=3, slower=(("0.", 0.5),), warm_up=3, log_every=4)
PLOT = trainer.plot


class Stop(Exception):
    """In place of the power going off."""


def make_network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def draw(size: int):
    """Noise whose first channel is to be found."""

    def make(number: int, rng: np.random.Generator):
        image = torch.from_numpy(rng.normal(size=(3, size, size)).astype(np.float32))
        return image, (image[:1] > 0).float()

    return make


def learn(out, plan=PLAN, make_of=lambda phase: draw(phase.size), **more):
    return train(plan, make_network(), make_of, F.binary_cross_entropy_with_logits, out, **more)


def read(path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Samples are made in this process, and curves are drawn in one test only."""
    monkeypatch.setattr(trainer, "WORKERS", 0)
    monkeypatch.setattr(trainer, "plot", lambda *of: None)


def assert_alike(one, other):
    """Two checkpoints are the same to the bit, but for the time that they took."""
    assert one.keys() == other.keys()
    for name in ("network", "average"):
        assert all(torch.equal(value, other[name][key]) for key, value in one[name].items())
    assert one["step"] == other["step"] and one["losses"] == other["losses"]
    assert [{**entry, "minutes": 0} for entry in one["log"]] == [{**entry, "minutes": 0} for entry in other["log"]]
    for part, value in one["optimizer"]["state"].items():
        assert all(torch.equal(tensor, other["optimizer"]["state"][part][key]) for key, tensor in value.items())
    assert one["optimizer"]["param_groups"] == other["optimizer"]["param_groups"]


@pytest.mark.parametrize("stops", [(1,), (3, 5), (6,)])
def test_a_run_that_was_stopped_ends_like_one_that_was_not_to_the_bit(tmp_path, monkeypatch, stops):
    figures = {"figures_of": lambda average: {"bias": float(average[1].bias.sum())}}
    whole = read(learn(tmp_path / "whole", **figures))
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)  # one after every step
    original = trainer.save
    for stop in stops:

        def save(path, state, stop=stop):
            original(path, state)
            if state["step"] == stop:
                raise Stop

        monkeypatch.setattr(trainer, "save", save)
        with pytest.raises(Stop):
            learn(tmp_path / "parts", **figures)
    monkeypatch.setattr(trainer, "save", original)
    monkeypatch.setattr(trainer, "WORKERS", 1)  # who makes the samples is of no account
    assert_alike(read(learn(tmp_path / "parts", **figures)), whole)
    assert whole["step"] == 9 and [entry["step"] for entry in whole["log"]] == [0, 4, 8, 9]


def test_work_since_the_last_checkpoint_is_done_again(tmp_path, monkeypatch):
    whole = read(learn(tmp_path / "whole"))

    def break_down(step):
        def make_of(phase):
            make = draw(phase.size)

            def checked(number, rng):
                if number == step:
                    raise Stop
                return make(number, rng)

            return checked

        return make_of

    with pytest.raises(Stop):
        learn(tmp_path / "parts", make_of=break_down(13))  # in step 6, of the second phase
    assert read(tmp_path / "parts" / "checkpoint.pt")["step"] == 4
    assert_alike(read(learn(tmp_path / "parts")), whole)


def test_samples_come_in_order_and_go_on_where_they_stopped(tmp_path):
    seen = []

    def make_of(phase):
        def make(number, rng):
            seen.append((phase.size, number))
            return draw(phase.size)(number, rng)

        return make

    learn(tmp_path, make_of=make_of)
    assert seen == [(8, i) for i in range(10)] + [(12, i) for i in range(10, 22)]
    seen.clear()
    longer = Plan((Phase(8, 2, 5), Phase(12, 3, 6)), rate=0.02, seed=3, slower=PLAN.slower, warm_up=3, log_every=4)
    learn(tmp_path, longer, make_of)
    assert seen == [(12, i) for i in range(22, 28)]
    seen.clear()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    learn(tmp_path, longer, make_of)
    assert seen == [] and (tmp_path / "checkpoint.pt").read_bytes() == before  # done is done


def test_a_sample_depends_on_its_seed_and_number_alone():
    make = draw(6)
    samples, again = Samples(make, 5), Samples(make, 5)
    later = samples[7][0]
    torch.testing.assert_close(again[7][0], later, rtol=0, atol=0)
    assert not torch.equal(samples[8][0], later) and not torch.equal(Samples(make, 6)[7][0], later)


def test_a_checkpoint_without_losses_is_gone_on_from(tmp_path):
    path = learn(tmp_path, Plan((Phase(8, 2, 4),), rate=0.01, seed=3))
    state = read(path)
    assert set(state) == {"network", "average", "optimizer", "step", "elapsed", "log", "losses"}
    del state["losses"]
    torch.save(state, path)
    assert read(learn(tmp_path, Plan((Phase(8, 2, 6),), rate=0.01, seed=3)))["step"] == 6


def test_the_rate_warms_up_stays_and_cools_down():
    plan = Plan((Phase(8, 1, 1000),), rate=1.0, seed=0, slower=(("0.", 0.5),), warm_up=100, cooling=0.3)
    optimizer = torch.optim.AdamW(trainer.parameter_groups(make_network(), plan), lr=1.0)

    def rates(step, plan=plan):
        trainer.set_rates(optimizer, plan, step)
        return [group["lr"] for group in optimizer.param_groups]

    assert rates(0) == [0.01, 0.005] and rates(99) == rates(500) == rates(700) == [1, 0.5]
    assert rates(850) == [pytest.approx(0.5), pytest.approx(0.25)] and rates(999)[0] == pytest.approx(1 / 300)
    cosine = Plan((Phase(8, 1, 1000),), rate=1.0, seed=0, warm_up=100)
    assert rates(500, cosine)[0] == pytest.approx(0.5) and rates(250, cosine)[0] == pytest.approx(
        0.5 + math.sqrt(0.125)
    )
    assert rates(999, cosine)[0] < 1e-5


def test_what_is_frozen_is_in_no_group_and_the_rest_in_one():
    network = make_network()
    network[1].requires_grad_(False)
    groups = trainer.parameter_groups(network, PLAN)
    assert [[tuple(p.shape) for p in group["params"]] for group in groups] == [[(1, 4, 1, 1), (1,)], [(4, 3, 3, 3)]]
    assert [group["peak"] for group in groups] == [0.02, 0.01]


def test_the_loss_falls_and_curves_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "plot", PLOT)
    plan = Plan((Phase(8, 4, 60),), rate=0.05, seed=2, warm_up=3, averaging=0.9, log_every=20)
    path = learn(tmp_path, plan, figures_of=lambda average: {"share": 0.5, "set": {"iou": 0.7, "under": 0.1}})
    log = read(path)["log"]
    assert log[-1]["loss"] < 0.7 * log[1]["loss"] and log[0]["loss"] is None and log[0]["set"]["iou"] == 0.7
    assert (tmp_path / "curves.png").stat().st_size > 5000 and not (tmp_path / "checkpoint.part").exists()
    network = trainer.read_average(make_network(), path)
    x, truth = (part[None] for part in Samples(draw(8), 9)[0])
    assert not network.training and ((network(x) > 0) == (truth > 0)).float().mean() > 0.8
