"""A multi-layer perceptron whose parameters are one flat memory, seen by numpy and by torch, with its gradient by hand.

Layers are matrices (outputs, inputs + 1): the bias is the weight of an input that is always 1, so a layer is one matrix
product. Activations are stored feature by feature, (features + 1, batch), which makes every product write into memory that
is there already. For ReLU networks of this kind it does what autograd does at a fraction of the cost; `agent.py` is the
reference, and a test holds this to it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]

_FEW = 16
"""Up to so many observations the call of a function of PyTorch costs more than its work."""
_relu_gradient = torch.ops.aten.threshold_backward.grad_input


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


class _Layout:
    """Views of a workspace's memory for one size of batch: what a forward pass reads and writes, layer by layer."""

    def __init__(self, memory: Sequence[Floats], sizes: Sequence[int], batch: int) -> None:
        shapes = [(size + 1, batch) for size in sizes[:-1]]
        views = zip(memory, shapes, strict=True)
        self.activations = [flat[: rows * columns].reshape(rows, columns) for flat, (rows, columns) in views]
        self.inputs = self.activations[0][:-1]
        self.hidden = [layer[:-1] for layer in self.activations[1:]]
        self.tensors = [torch.from_numpy(layer) for layer in self.hidden]
        self.rectify = [_rectifier(layer) for layer in self.hidden]
        self.outputs: Floats = np.zeros((sizes[-1], batch), np.float32)

    def begin(self) -> None:
        """Write the last row of each layer, the input of the biases: another layout has had the memory."""
        for layer in self.activations:
            layer[-1] = 1.0


def _rectifier(layer: Floats) -> Callable[[], Any]:
    """Return what sets the negative numbers of a layer's outputs, (size, batch), to 0."""
    if layer.shape[1] <= _FEW:
        return functools.partial(np.maximum, layer, np.zeros_like(layer), out=layer)
    return torch.from_numpy(layer).relu_


class Workspace:
    """The memory of forward and backward passes over batches of up to `batch`."""

    def __init__(self, sizes: Sequence[int], batch: int) -> None:
        self._sizes = tuple(sizes)
        self._memory: list[Floats] = [np.zeros((size + 1) * batch, np.float32) for size in sizes[:-1]]
        self._layouts: dict[int, _Layout] = {}
        self.deltas: list[Floats] = [np.zeros((size, batch), np.float32) for size in sizes[1:]]
        self._delta_tensors = [torch.from_numpy(delta) for delta in self.deltas]
        self._layout = self._layouts[batch] = _Layout(self._memory, self._sizes, batch)
        self._layout.begin()

    def use(self, batch: int) -> None:
        """Lay the memory out for a batch of this size; needed before a `forward` of another size than the last one."""
        if batch not in self._layouts:
            self._layouts[batch] = _Layout(self._memory, self._sizes, batch)
        if self._layout is not self._layouts[batch]:
            self._layout = self._layouts[batch]
            self._layout.begin()

    @property
    def inputs(self) -> Floats:
        """Where the inputs go, (size, batch)."""
        return self._layout.inputs

    def forward(self, matrices: Sequence[Floats]) -> Floats:
        """Return the outputs for `inputs`, (outputs, batch); the memory is used again by the next call."""
        layout = self._layout
        # The last matrix is left over by the shorter lists.
        for matrix, before, hidden, rectify in zip(
            matrices, layout.activations, layout.hidden, layout.rectify, strict=False
        ):
            matrix.dot(before, hidden)
            rectify()
        matrices[-1].dot(layout.activations[-1], layout.outputs)
        return layout.outputs

    def backward(self, matrices: Sequence[Floats], gradients: Sequence[Floats]) -> None:
        """Write the gradient for `deltas[-1]`, the derivative of the loss by the outputs, after a `forward` of a full batch."""
        layout = self._layout
        for index in range(len(matrices) - 1, -1, -1):
            delta = self.deltas[index]
            delta.dot(layout.activations[index].T, gradients[index])
            if index:
                matrices[index][:, :-1].T.dot(delta, self.deltas[index - 1])
                below, hidden = self._delta_tensors[index - 1], layout.tensors[index - 1]
                _relu_gradient(below, hidden, 0, grad_input=below)
