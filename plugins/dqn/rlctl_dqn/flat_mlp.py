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
    """The memory of forward and backward passes for one size of batch."""

    def __init__(self, sizes: Sequence[int], batch: int) -> None:
        self.batch = batch
        self.activations: list[Floats] = []
        for size in sizes[:-1]:
            layer = np.ones((size + 1, batch), np.float32)  # the last row stays: the input of the biases
            self.activations.append(layer)
        self.outputs: Floats = np.zeros((sizes[-1], batch), np.float32)
        self.deltas: list[Floats] = [np.zeros((size, batch), np.float32) for size in sizes[1:]]
        self._masks = [np.zeros((size, batch), np.bool_) for size in sizes[1:-1]]

    @property
    def inputs(self) -> Floats:
        """Where the inputs go, (size, batch)."""
        return self.activations[0][:-1]

    def forward(self, matrices: Sequence[Floats]) -> Floats:
        """Return the outputs for `inputs`, (outputs, batch); the memory is used again by the next call."""
        last = len(matrices) - 1
        for index, matrix in enumerate(matrices):
            if index == last:
                np.dot(matrix, self.activations[index], out=self.outputs)
            else:
                hidden = self.activations[index + 1][:-1]
                np.dot(matrix, self.activations[index], out=hidden)
                np.maximum(hidden, 0.0, out=hidden)
        return self.outputs

    def backward(self, matrices: Sequence[Floats], gradients: Sequence[Floats]) -> None:
        """Write the gradient for `deltas[-1]`, the derivative of the loss by the outputs, after a `forward`."""
        for index in range(len(matrices) - 1, -1, -1):
            delta = self.deltas[index]
            np.dot(delta, self.activations[index].T, out=gradients[index])
            if index:
                below, hidden, mask = self.deltas[index - 1], self.activations[index][:-1], self._masks[index - 1]
                np.dot(matrices[index][:, :-1].T, delta, out=below)
                np.greater(hidden, 0.0, out=mask)
                np.multiply(below, mask, out=below)
