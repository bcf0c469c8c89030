"""A multi-layer perceptron whose parameters are one flat memory, seen by numpy and by torch, with its gradient by hand.

Layers are matrices (outputs, inputs + 1): the bias is the weight of an input that is always 1, so a layer is one matrix
product. Activations are stored feature by feature, (features + 1, batch), which makes every product write into memory that
is there already. For ReLU networks of this kind it does what autograd does at a fraction of the cost; `agent.py` is the
reference, and a test holds this to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]


class FlatMlp:
    """Maps (size, batch) to (outputs, batch), ReLU between the layers. `parameters` is the flat memory, float32."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.parameters: Floats = np.zeros(sum(b * (a + 1) for a, b in itertools.pairwise(sizes)), np.float32)
        self.matrices = self.views(self.parameters)

    def views(self, memory: Floats) -> list[Floats]:
        """Return the layers' matrices, (outputs, inputs + 1), as views of a memory of the same layout."""
        found, start = [], 0
        for inputs, outputs in itertools.pairwise(self.sizes):
            end = start + outputs * (inputs + 1)
            found.append(memory[start:end].reshape(outputs, inputs + 1))
            start = end
        return found

    def adopt(self, network: nn.Module) -> None:
        """Take over the parameters of the network's linear layers, and make them views of the flat memory."""
        flat = torch.from_numpy(self.parameters)
        layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
        start = 0
        with torch.no_grad():
            for layer in layers:
                outputs, inputs = layer.weight.shape
                matrix = flat[start : start + outputs * (inputs + 1)].view(outputs, inputs + 1)
                matrix[:, :inputs] = layer.weight
                matrix[:, inputs] = layer.bias
                layer.weight.data, layer.bias.data = matrix[:, :inputs], matrix[:, inputs]
                start += outputs * (inputs + 1)


class Workspace:
    """The memory of forward and backward passes over batches of `batch`."""

    def __init__(self, sizes: Sequence[int], batch: int) -> None:
        self._activations: list[Floats] = [np.ones((size + 1, batch), np.float32) for size in sizes[:-1]]
        """What goes into each layer; the last row is the input of its biases, always 1."""
        self.inputs: Floats = self._activations[0][:-1]
        """Where the inputs go, (size, batch)."""
        self._hidden = [layer[:-1] for layer in self._activations[1:]]
        self._zeros: Floats = np.zeros((max(sizes[1:]), batch), np.float32)
        """What outputs are compared with: as many numbers, as numpy has no fast way to compare with one."""
        self._outputs: Floats = np.zeros((sizes[-1], batch), np.float32)
        self.deltas: list[Floats] = [np.zeros((size, batch), np.float32) for size in sizes[1:]]

    def forward(self, matrices: Sequence[Floats]) -> Floats:
        """Return the outputs for `inputs`, (outputs, batch); the memory is used again by the next call."""
        *inner, last = matrices
        for matrix, before, hidden in zip(inner, self._activations, self._hidden, strict=False):
            matrix.dot(before, hidden)
            np.maximum(hidden, self._zeros[: len(hidden)], out=hidden)
        return last.dot(self._activations[-1], self._outputs)

    def backward(self, matrices: Sequence[Floats], gradients: Sequence[Floats]) -> None:
        """Write the gradient for `deltas[-1]`, the derivative of the loss by the outputs; it uses up what `forward` left."""
        for index in range(len(matrices) - 1, -1, -1):
            delta = self.deltas[index]
            delta.dot(self._activations[index].T, gradients[index])
            if index:
                below = self.deltas[index - 1]
                matrices[index][:, :-1].T.dot(delta, below)
                _stop_where_zero(below, self._hidden[index - 1])


def _stop_where_zero(delta: Floats, hidden: Floats) -> None:
    """Set a derivative to 0 where a layer's outputs, which are not negative, are 0; both are (size, batch).

    The outputs become a mask: as integers, negated, all but 0 have the sign bit set, which is then shifted over all bits. A
    comparison would give booleans, whose way back to floats takes twice as long.
    """
    mask, bits = hidden.view(np.int32), delta.view(np.int32)
    np.negative(mask, out=mask)
    np.right_shift(mask, 31, out=mask)
    np.bitwise_and(bits, mask, out=bits)
