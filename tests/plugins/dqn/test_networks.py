"""The networks: heads, noise, and what makes features of images."""

import numpy as np
import pytest
import torch
from tests.plugins.dqn.making import settings_of
from torch import nn

from rlctl import RlctlError
from rlctl_dqn.extractors import NatureCnn, make_extractor
from rlctl_dqn.networks import NoisyLinear, QNetwork


def network(algo="dqn", *, shape=(4,), actions=3, width=None, dtype="float32", **changes):
    """A network of random weights."""
    torch.manual_seed(0)
    return QNetwork(shape, actions, settings_of(algo, **changes), dtype=dtype, width=width)


class Doubled(nn.Module):
    """An extractor of one's own: twice the sum of each observation."""

    def __init__(self, shape):
        super().__init__()
        self.features = 1

    def forward(self, observations):
        return 2 * observations.sum(dim=1, keepdim=True)


# ---- plain and dueling ---------------------------------------------------------------------------------------------


def test_the_plain_network_is_a_sequence_of_linear_layers():
    """Its parameters have the names that they had in the first version, so its weights can be taken."""
    assert list(network(hidden_sizes=[5, 6]).state_dict()) == [
        "layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias", "layers.4.weight", "layers.4.bias",
    ]  # fmt: skip


@pytest.mark.parametrize("algo", ["dqn", "dueling_dqn", "rainbow"])
@pytest.mark.parametrize("hidden", [[], [8], [8, 6]])
@pytest.mark.parametrize("width", [None, 7])
def test_every_network_maps_observations_to_actions(algo, hidden, width):
    """One value for each action, or as many numbers as were asked for, whatever the hidden layers."""
    found = network(algo, hidden_sizes=hidden, width=width)(torch.zeros(5, 4))
    assert found.shape == ((5, 3) if width is None else (5, 3, 7))


def test_a_dueling_network_adds_the_value_and_the_centred_advantages():
    """The mean over actions of its outputs is the value stream; advantages that are all the same change nothing."""
    made = network("dueling_dqn", hidden_sizes=[8])
    head = made.layers[-1]
    observations = torch.randn(5, 4)
    before = made(observations)
    assert torch.allclose(before.mean(dim=1, keepdim=True), head.value(observations), atol=1e-6)
    with torch.no_grad():
        head.advantage[-1].bias += 100
    assert torch.allclose(made(observations), before, atol=1e-4)


def test_a_dueling_distribution_has_a_value_for_each_atom():
    """The streams are combined atom by atom."""
    made = network("dueling_dqn", hidden_sizes=[8], width=5)
    observations = torch.randn(2, 4)
    assert torch.allclose(made(observations).mean(dim=1), made.layers[-1].value(observations), atol=1e-6)


# ---- noise ---------------------------------------------------------------------------------------------------------


def test_noise_is_drawn_anew_for_each_pass_and_shared_by_a_batch():
    """Equal rows of a batch stay equal, two passes differ."""
    layer = NoisyLinear(6, 4)
    rows = torch.ones(3, 6)
    first, second = layer(rows), layer(rows)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first, second)


def test_there_is_no_noise_in_evaluation():
    """Then the layer is the linear one of its means."""
    layer = NoisyLinear(6, 4).eval()
    rows = torch.randn(3, 6)
    assert torch.allclose(layer(rows), rows @ layer.weight.T + layer.bias, atol=1e-6)


def test_noise_is_factorised():
    """Weights are mean + sigma * f(after) f(before) with f(x) = sign(x) sqrt|x|, the bias mean + sigma * f(after)."""
    layer = NoisyLinear(3, 2)
    torch.manual_seed(5)
    before, after = (x.sign() * x.abs().sqrt() for x in (torch.randn(3), torch.randn(2)))
    weight = layer.weight + layer.weight_sigma * torch.outer(after, before)
    bias = layer.bias + layer.bias_sigma * after
    torch.manual_seed(5)
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(layer(rows), rows @ weight.T + bias, atol=1e-6)


def test_noise_begins_as_the_paper_says():
    """Means are uniform within 1 / sqrt(inputs), sigma is 0.5 / sqrt(inputs)."""
    layer = NoisyLinear(16, 1000)
    assert layer.weight.abs().max() <= 0.25
    assert layer.weight.std().item() == pytest.approx(0.25 / np.sqrt(3), rel=0.05)
    assert layer.weight_sigma.unique().tolist() == [0.125]


def test_noise_is_in_the_last_layers():
    """The last hidden layer and the outputs; layers before it are plain."""
    kinds = [type(layer).__name__ for layer in network("dqn", hidden_sizes=[8, 6], noisy=True).layers]
    assert kinds == ["Linear", "ReLU", "NoisyLinear", "ReLU", "NoisyLinear"]


# ---- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 84, 84), (84, 84, 3), (84, 84), (4, 84, 84, 3), (36, 40, 1)])
@pytest.mark.parametrize("name", ["nature", "impala"])
def test_images_of_all_common_shapes_have_an_extractor(name, shape):
    """Channels first or last, none at all, and stacked frames."""
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    made = network(shape=shape, dtype="uint8", extractor=name, features=8)
    assert made(images).shape == (2, 3)


def test_auto_takes_the_nature_cnn_for_images():
    """Not for small ones, and not for numbers that are no bytes."""
    assert isinstance(make_extractor("auto", (4, 84, 84), "uint8"), NatureCnn)
    assert make_extractor("auto", (8, 8, 3), "uint8") is None
    assert make_extractor("auto", (84, 84, 3), "float32") is None


def test_the_nature_network_has_the_papers_sizes():
    """3136 features of four frames of 84 by 84, and one hidden layer of 512."""
    made = network(shape=(4, 84, 84), dtype="uint8", hidden_sizes=[9])
    assert made.extractor.features == 3136
    assert [tuple(layer.weight.shape) for layer in made.layers if isinstance(layer, nn.Linear)] == [
        (512, 3136),
        (3, 512),
    ]


def test_channels_are_where_they_belong():
    """The same picture with its channels last or first has the same features."""
    first = make_extractor("nature", (3, 40, 44), "uint8")
    last = make_extractor("nature", (40, 44, 3), "uint8")
    last.load_state_dict(first.state_dict())
    image = torch.randint(0, 256, (1, 3, 40, 44), dtype=torch.uint8)
    assert torch.allclose(first(image), last(image.permute(0, 2, 3, 1)), atol=1e-6)


def test_bytes_are_scaled_in_the_network():
    """255 counts as 1 for a CNN and for a perceptron; float observations are taken as they are."""
    small = network(shape=(2, 2), dtype="uint8")
    assert torch.allclose(small(torch.full((1, 2, 2), 255, dtype=torch.uint8)), small(torch.ones(1, 2, 2)))


def test_an_image_that_is_too_small_is_refused():
    """It would have nothing left after the convolutions."""
    with pytest.raises(RlctlError, match=r"nature cannot be laid over.*\(20, 20, 3\).*Set extractor to mlp"):
        make_extractor("nature", (20, 20, 3), "uint8")


def test_a_class_of_ones_own_makes_the_features():
    """It is called with the shape and has a number of features; the head stands right on them."""
    made = network(extractor=f"{__name__}:Doubled")
    assert [type(layer) for layer in made.layers] == [nn.Linear]
    assert made.layers[0].in_features == 1


@pytest.mark.parametrize("name", ["no_such_module:Class", f"{__name__}:Nothing", "builtins:tuple"])
def test_a_class_that_is_none_is_refused(name):
    """The message names it."""
    with pytest.raises(RlctlError, match=name):
        make_extractor(name, (4,), "float32")
