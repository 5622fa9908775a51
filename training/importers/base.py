"""What a stored file is to the importer, and what a format of weights is.

To add a format: a `WeightFormat` in a file of its own, beside those of its kind (`generators/`,
`translators/`, `upscalers/`), a line in `table.py`, and a maker of tiny checkpoints in
`tests/training/importers/`. Reading, inspecting, the parity with the stored weights, export, cards and
licences follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from training.errors import GantrainError
from training.families.base import Kind

Container = Literal["torch", "torch-legacy", "nvidia-pickle", "safetensors", "ncnn"]
Tensors = Mapping[str, Tensor]


class UnreadableWeightsError(GantrainError):
    """A file is broken, hostile, or no file of weights; nothing in it was executed."""


class UnsupportedWeightsError(GantrainError):
    """A file could be read but not be imported; the message says why, and what comes nearest."""


@dataclass(frozen=True)
class StoredModule:
    """A module of a pickle, as data: its code was neither run nor imported.

    Attributes:
        class_name: As the pickle says.
        arguments: Of its constructor, by position.
        options: Of its constructor, by name.
        tensors: Parameters and buffers of it and all below it, under dotted names.
        attributes: What else its state holds that is plain: numbers, text, lists and dictionaries of those.
        children: Modules right below it.
    """

    class_name: str
    arguments: Sequence[Any]
    options: Mapping[str, Any]
    tensors: Tensors
    attributes: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, StoredModule] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredFile:
    """A file of weights, read.

    Attributes:
        path: Where it is.
        sha256: Of the file, in hexadecimal; of an ncnn pair, of the `.bin`.
        size: In bytes.
        container: How it is written.
        content: What it holds: dictionaries, lists, plain values, tensors on the CPU, `StoredModule`.
            Of ncnn, a `StoredNcnn`.
        metadata: What the file says of itself; only safetensors have any.
    """

    path: Path
    sha256: str
    size: int
    container: Container
    content: Any
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """How far our network is from the stored weights run by a reference forward pass.

    Attributes:
        cases: What was run, in a few words.
        max_abs_error: Largest difference of floats, in the network's own range of colours.
        mean_abs_error: Mean difference of floats.
        differing_pixels: Share of UINT8 samples that are not equal.
        max_level_error: Largest difference in UINT8 levels.
    """

    cases: str
    max_abs_error: float
    mean_abs_error: float
    differing_pixels: float
    max_level_error: int


@dataclass(frozen=True)
class Imported:
    """A network of ours with the weights of a file.

    Attributes:
        network: As a `training.families.base.Deployable` holds it: in evaluation mode, on the CPU.
        reference: Computes what the original code would, from the stored tensors under their own names, by
            functions that share no code with our networks. For a generator: z [N, z_dim], label [N, c_dim]
            or None, truncation ψ → images [N, 3, H, W] in [−1, 1]; otherwise [N, 3, H, W] → [N, 3, H', W']
            in the colours of the `Deployable`.
        card: What the format knows for the model card: sizes, policies, what training it says.
        notes: What the user should know: what was dropped, what was assumed.
        example: Height and width of an image that the proof may use; of a generator, None.
    """

    network: nn.Module
    reference: Callable[..., Tensor]
    card: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    example: tuple[int, int] | None = None


@dataclass(frozen=True)
class Recognised:
    """What a file was found to be, before its network is built.

    Attributes:
        format: Name of the format, such as `nvidia-stylegan2`.
        title: What it is, for people: `StyleGAN2 generator, 256 × 256, unconditional`.
        kind: What it will do once served.
        family: The family the card names.
        part: Which of the file's networks, such as `G_ema` or `params_ema`; empty if there is but one.
        hyperparameters: All of the architecture, inferred from the file, in the order to be shown.
        parameters: Numbers in the weights that will be used.
        build: Makes the network.
        variants: Other ways to use the same weights, by name; `build` is one of them where there are any.
    """

    format: str
    title: str
    kind: Kind
    family: str
    part: str
    hyperparameters: Mapping[str, Any]
    parameters: int
    build: Callable[[], Imported]
    variants: Mapping[str, Callable[[], Imported]] = field(default_factory=dict)

    def building(self, variant: str | None) -> Callable[[], Imported]:
        """What makes the network, in a variant.

        Raises:
            UnsupportedWeightsError: If there is no such variant.
        """
        if variant is None:
            return self.build
        if variant not in self.variants:
            known = ", ".join(self.variants) or "it has none"
            raise UnsupportedWeightsError(f"{self.title} has no variant {variant!r}: {known}")
        return self.variants[variant]


class WeightFormat(ABC):
    """One layout of weights that people own.

    Attributes:
        name: Such as `nvidia-stylegan2`.
        title: Whose it is, for people.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Looks at keys and shapes alone.

        Args:
            stored: The file.
            part: Which network of the file is wanted; None is the one that is usually served.

        Returns:
            What it is; None if it is not of this format.

        Raises:
            UnsupportedWeightsError: If it is of this format, but of a kind that cannot be imported.
        """

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """Weights of ours as this format stores them, so that the original code loads them.

        Args:
            network: One that a family of ours trains, in evaluation mode.

        Returns:
            What `torch.save` is to write; None if the format has no place for such a network.

        Raises:
            UnsupportedWeightsError: If the format is the right one, but cannot say what this network does.
        """
        return None
