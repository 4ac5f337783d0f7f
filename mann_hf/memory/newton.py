"""Minimising strictly convex objectives exactly."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .precision import solving_precision

MAX_STEPS = 60
MAX_INNER_STEPS = 250
SINGLE_CURVATURE_FROM = 10_000_000
"""Multiplications of one gradient above which the curvature is applied in single precision."""
SINGLE_GRADIENT_FROM = 150_000_000
"""Multiplications of one gradient above which it is computed in single precision, and the curvature in half precision
where the processor has instructions for that."""
ROUNDING = 16
"""The length of a gradient in single precision that counts as none, in roundings a slot."""
SUM_ROUNDING = 8
"""Roundings by which two sums of losses that are the same may differ."""
SKETCH_FROM = 2048
"""Slots from which a sketch of the curvature is worth its making."""
SKETCH_SLOTS_AN_OUTPUT = 32
"""Slots for each output from which it is a sketch of many directions: of each output it costs a factorisation."""
SKETCH_RANK, SKETCH_SLOTS = 64, 512
"""Directions of an output that a sketch knows apart, and the slots of most weight that it finds them in."""
SKETCH_FEW_RANK, SKETCH_FEW_SLOTS = 4, 8
"""The same where outputs have few slots each."""
SKETCH_FAR = 1e-3
"""Part of the first gradient's length that a solve must go below for a sketch to save more than it costs."""
SKETCH_OUTPUTS = 128
"""Outputs that are sketched at a time, so that the memory it takes is bounded."""
SKETCH_NUMBERS = 50_000_000
"""Numbers in all directions of a sketch above which none is made."""
NEAR = 0.3
"""Part of the first gradient's length below which the curvature is close enough to that of the minimum."""


class ConvexObjective(Protocol):
    """A sum of losses over stored keys plus a weight decay, for B independent problems side by side."""

    @property
    def keys(self) -> Tensor:
        """[B, S, K]."""
        ...

    @property
    def weight_decay(self) -> float:
        """μ, the least curvature."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether losses see differences between outputs alone, so that gradients and steps sum to 0 over them."""
        ...

    def detach(self) -> Any: ...

    def to(self, dtype: torch.dtype) -> Any:
        """The same objective with keys of a precision; what is no key stays in single precision at least."""
        ...

    def value_and_gradient(self, weight: Tensor) -> tuple[Tensor, Tensor, Any]:
        """The objective [B], its gradient [B, V, K] and what its curvature depends on: [B, S, V], or of one problem
        anything that `hessian` and `curvature_weights` take and that has a method `to(dtype)`.
        """
        ...

    def hessian(self, probabilities: Any) -> Callable[[Tensor], Tensor]:
        """The Hessian as a function of a direction [B, V, K]."""
        ...

    def curvature_weights(self, probabilities: Any) -> Tensor:
        """[B, S, V], w by which the Hessian's block of an output is Σ_i w_i k_i k_iᵀ + μ I."""
        ...

    def features(self, slots: Tensor) -> Tensor:
        """[..., K], the keys of some slots [...] of the first problem."""
        ...

    def squares(self) -> Tensor:
        """[S], the squared lengths of the first problem's keys."""
        ...


class Point(NamedTuple):
    """A place in a search, and what the objective is there.

    Attributes:
        weight: [B, V, K].
        value: [B].
        gradient: [B, V, K].
        probabilities: what its curvature depends on; see `ConvexObjective`.
    """

    weight: Tensor
    value: Tensor
    gradient: Tensor
    probabilities: Any


class Minimum(NamedTuple):
    """Where an objective is least.

    Attributes:
        point: the place, in the precision that gradients were computed in.
        sketch: of the curvature; None where none was made. Given to the search for the minimum of a similar objective,
            it shortens it.
    """

    point: Point
    sketch: "Sketch | None"

    @property
    def weight(self) -> Tensor:
        """[B, V, K]."""
        return self.point.weight


class Sketch(NamedTuple):
    """About the inverse of the Hessian's block of each output: R directions of most curvature, and an average.

    Attributes:
        directions: [V, K, R], orthonormal.
        corrections: [V, R], the inverse along them less the average's.
        averages: [V], the inverse along all others.
    """

    directions: Tensor
    corrections: Tensor
    averages: Tensor

    @classmethod
    def of(cls, objective: ConvexObjective, probabilities: Any) -> "Sketch":
        """One pass of a randomised range finder for each output.

        Source: Halko et al. 2011, [Finding Structure with Randomness](https://arxiv.org/abs/0909.4061), algorithm 4.4
        with q = 1.
        """
        weights = objective.curvature_weights(probabilities)[0]
        rank, heavy = _sketch_sizes(*weights.shape)
        parts = [cls._of_outputs(objective, some, rank, heavy) for some in weights.split(SKETCH_OUTPUTS, dim=1)]
        return cls(*(torch.cat(fields) for fields in zip(*parts, strict=True)))

    @classmethod
    def _of_outputs(cls, objective: ConvexObjective, weights: Tensor, rank: int, most: int) -> "Sketch":
        """A sketch for some outputs, from the weight [S, v] of each slot in them."""
        heavy, slots = weights.mT.topk(min(len(weights), most), dim=1)
        near = objective.features(slots) * heavy[..., None].sqrt()  # [V, M, K]
        size = near.shape[2]
        rank = min(rank, *near.shape[1:])
        start = torch.randn(size, rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        basis = torch.linalg.qr(near.mT @ (near @ start.to(near))).Q
        curvature, turn = torch.linalg.eigh((near @ basis).mT @ (near @ basis))
        others = (weights.mT @ objective.squares() - curvature.sum(1)).clamp_min(0) / max(1, size - rank)
        averages = 1 / (others + objective.weight_decay)
        corrections = 1 / (curvature.clamp_min(0) + objective.weight_decay) - averages[:, None]
        return cls(basis @ turn, corrections, averages)

    def to(self, dtype: torch.dtype) -> "Sketch":
        """The directions in another precision."""
        return self._replace(directions=self.directions.to(dtype))

    def of_outputs(self, some: Tensor) -> "Sketch":
        """The sketch of some outputs alone."""
        return Sketch(self.directions[some], self.corrections[some], self.averages[some])

    def wider(self, outputs: int, weight_decay: float) -> "Sketch":
        """The sketch for more outputs, of which nothing is known."""
        more = outputs - len(self.averages)
        pad = torch.nn.functional.pad
        averages = pad(self.averages, (0, more), value=1 / weight_decay)
        return Sketch(pad(self.directions, (0, 0, 0, 0, 0, more)), pad(self.corrections, (0, 0, 0, more)), averages)

    def __call__(self, residual: Tensor) -> Tensor:
        """About the inverse of the Hessian times `residual` [1, V, K]."""
        dtype = self.directions.dtype
        along = torch.bmm(residual[0, :, None].to(dtype), self.directions).to(residual) * self.corrections[:, None]
        return (
            torch.bmm(along.to(dtype), self.directions.mT)[:, 0].to(residual) + self.averages[:, None] * residual[0]
        )[None]


def _sketch_sizes(slots: int, outputs: int) -> tuple[int, int]:
    """How many directions a sketch has of each output, and how many slots it finds them in."""
    if slots >= SKETCH_SLOTS_AN_OUTPUT * outputs:
        return SKETCH_RANK, SKETCH_SLOTS
    return SKETCH_FEW_RANK, SKETCH_FEW_SLOTS


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner products [B, 1, 1] of [B, V, K] and [B, V, K]."""
    return (a * b).sum((1, 2), keepdim=True)


def _balanced(objective: ConvexObjective, direction: Tensor) -> Tensor:
    """Without what exclusive losses do not see and the weight decay takes away: what all outputs have in common."""
    return direction - direction.mean(dim=1, keepdim=True) if objective.exclusive else direction


def gradient_precision(keys: Tensor, outputs: int) -> torch.dtype:
    """The precision in which `minimise` computes gradients for keys [B, S, K] and V outputs."""
    single = keys.dtype != torch.float64 and keys.numel() * outputs > SINGLE_GRADIENT_FROM
    return torch.float32 if single else solving_precision(keys.device)


def reachable(tolerance: float, keys: Tensor, outputs: int) -> float:
    """The length of the gradient that `minimise` goes to: rounding alone may make one that long."""
    if gradient_precision(keys, outputs) == torch.float32:
        return max(tolerance, ROUNDING * torch.finfo(torch.float32).eps * keys.shape[1])
    return tolerance


def curvature_precision(keys: Tensor, outputs: int) -> torch.dtype:
    """The precision in which `minimise` applies the curvature, which the directions of its steps alone depend on."""
    if gradient_precision(keys, outputs) == torch.float32:
        return torch.bfloat16 if keys.device.type == "cpu" and _multiplies_halves() else torch.float32
    single = keys.dtype != torch.float64 and keys.numel() * outputs > SINGLE_CURVATURE_FROM
    return torch.float32 if single else solving_precision(keys.device)


@functools.cache
def _multiplies_halves() -> bool:
    """Whether this processor has instructions for bfloat16; with AVX-512 alone PyTorch would emulate them."""
    emulated = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported() and not emulated


@torch.no_grad()
def minimise(
    objective: ConvexObjective,
    start: Tensor | Point,
    tolerance: float,
    sketch: Sketch | None = None,
    near: bool = False,
    coarse: Callable[[], Any] | None = None,
) -> Minimum:
    """The minimum by Newton's method, each step solved by conjugate gradients.

    Source: Nocedal and Wright 2006, [Numerical Optimization](https://doi.org/10.1007/978-0-387-40065-5), algorithm 7.1.

    Args:
        objective: B problems.
        start: [B, V, K], where to start; this changes how long it takes, not where it ends. A `Point`, in the
            precision of gradients, saves looking at the objective there.
        tolerance: the length of the gradient at which a problem counts as solved.
        sketch: of an earlier `Minimum`; like the start it changes the time alone.
        near: whether the start is near, so that it pays to solve for steps precisely; this, too.
        coarse: gives the objective in the precision of the curvature, where the caller has it or wants it, too.
    """
    outputs = (start.weight if isinstance(start, Point) else start).shape[1]
    batch, slots, _ = objective.keys.shape
    precise = gradient_precision(objective.keys, outputs)
    rough, curved = curvature_precision(objective.keys, outputs), None
    objective = objective.to(precise)
    coarse = coarse or functools.partial(objective.to, rough)
    rank, _ = _sketch_sizes(slots, outputs)
    worth_sketch = batch == 1 and slots >= SKETCH_FROM and outputs * objective.keys.shape[2] * rank <= SKETCH_NUMBERS
    tolerance = reachable(tolerance, objective.keys, outputs)
    if not isinstance(start, Point):
        weight = _balanced(objective, start.to(precise))  # steps would leave what is not
        start = Point(weight, *objective.value_and_gradient(weight))
    weight, value, gradient, probabilities = start
    length = dot(gradient, gradient).sqrt()
    first = length.clamp_min(1.0)
    worth_sketch &= bool((tolerance < SKETCH_FAR * first).any())
    shortest, idle = length, torch.zeros_like(length)
    stuck = idle > 0
    for _ in range(MAX_STEPS):
        unsolved = (length > tolerance) & ~stuck
        if not unsolved.any():
            break
        curved = coarse() if curved is None else curved
        if sketch is None and worth_sketch and bool(length < NEAR * first):
            sketch = Sketch.of(objective, probabilities).to(curved.keys.dtype)
        # superlinear convergence without wasted work far away; no more of it than the tolerance asks for
        loosest = 0.01 if sketch is not None else 0.03 if near else 0.3
        precision = (length / first).sqrt().clamp_max(loosest).maximum(0.7 * tolerance / length.clamp_min(tolerance))
        step = newton_step(curved, probabilities, -gradient, precision * length, sketch)
        step = step * unsolved
        slope = dot(gradient, step)[:, 0, 0]
        if sketch is not None and not bool((slope < 0)[unsolved[:, 0, 0]].all()):  # rounding has spoilt the sketch
            sketch, worth_sketch = None, False
            continue
        scale = torch.ones_like(value)
        noise = torch.finfo(value.dtype).eps * (value.abs() + 1)
        for _ in range(30):
            candidate = weight + scale[:, None, None] * step
            new = objective.value_and_gradient(candidate)
            rising = ~(new[0] <= value + 1e-4 * scale * slope + SUM_ROUNDING * noise)  # NaN, too
            if not rising.any():
                break
            scale = torch.where(rising, scale / 2, scale)
        new_length = dot(new[1], new[1]).sqrt()
        # rounding is all that is left where steps bring next to nothing: one, if it promised less than the value's
        # rounding, or three on end
        idle = torch.where(new_length > 0.9 * shortest, idle + 1, 0)
        shortest = shortest.minimum(new_length)
        patience = torch.where(-slope <= noise, 1, 3)[:, None, None]
        stuck = stuck | (unsolved & (length < 1e-2 * first) & (idle >= patience))
        better = ~(stuck & (new_length > length))
        if curved.keys.dtype == torch.bfloat16 and stuck.any():  # its rounding may be all that was in the way
            curved, idle, stuck = objective, torch.zeros_like(idle), torch.zeros_like(stuck)
        if better.all():
            weight, (value, gradient, probabilities), length = candidate, new, new_length
            continue
        if not better.any():
            continue
        weight, gradient, probabilities = (
            torch.where(better, after, before)
            for before, after in ((weight, candidate), (gradient, new[1]), (probabilities, new[2]))
        )
        value, length = torch.where(better[:, 0, 0], new[0], value), torch.where(better, new_length, length)
    return Minimum(Point(weight, value, gradient, probabilities), sketch)


def newton_step(
    objective: ConvexObjective,
    probabilities: Any,
    right: Tensor,
    tolerance: Tensor | float,
    sketch: Sketch | None = None,
) -> Tensor:
    """Solves H x = right [B, V, K] for the curvature H at `probabilities`, in the precision of the objective's keys."""
    dtype = torch.promote_types(objective.keys.dtype, torch.float32)
    hessian = objective.hessian(probabilities.to(dtype))
    balanced = functools.partial(_balanced, objective)
    return conjugate_gradients(hessian, right.to(dtype), tolerance, sketch, balanced).to(right.dtype)


@torch.no_grad()
def conjugate_gradients(
    hessian: Callable[[Tensor], Tensor],
    right: Tensor,
    tolerance: Tensor | float,
    sketch: Sketch | None = None,
    balanced: Callable[[Tensor], Tensor] = torch.clone,
) -> Tensor:
    """Solves H x = right [B, V, K] by conjugate gradients.

    Source: Nocedal and Wright 2006, [Numerical Optimization](https://doi.org/10.1007/978-0-387-40065-5), algorithm 5.3.

    Each of the B problems rests from where it is solved on: what is left of its residual is rounding, and steps along
    that would lead away again while the others go on.

    Args:
        hessian: H, as a function of a direction.
        tolerance: the length of the residual that may be left.
        sketch: about the inverse of H.
        balanced: takes from a direction what is in none of H's images.
    """
    least = torch.finfo(right.dtype).tiny

    def precondition(residual: Tensor) -> Tensor:
        return residual if sketch is None else balanced(sketch(residual))

    solution = torch.zeros_like(right)
    residual = balanced(right).clone()
    scaled = precondition(residual)
    direction = scaled.clone()
    product = dot(residual, scaled)
    for _ in range(MAX_INNER_STEPS):
        unsolved = dot(residual, residual).sqrt() > tolerance
        if not unsolved.any():
            break
        direction = balanced(direction)  # rounding leaves a part that no curvature holds
        image = balanced(hessian(direction))
        curve = dot(direction, image)
        size = torch.where(unsolved & (curve > 0), product / curve.clamp_min(least), 0)
        solution += size * direction
        residual -= size * image
        scaled = precondition(residual)
        new_product = dot(residual, scaled)
        direction = scaled + new_product / product.clamp_min(least) * direction
        product = new_product
    return solution
