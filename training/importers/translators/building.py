"""A recognised translator: its network, how it is served, and the check by its own tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from training.families.translation import GeneratorConfig, TestTime, as_served, policies
from training.importers.base import Imported, Recognised, Tensors, UnsupportedWeightsError
from training.importers.translators.translator_layouts import public_names
from training.importers.translators.translator_reference import StoredTranslator
from training.importers.translators.translator_shapes import MIN_LEVELS, check_channels
from training.importers.translators.translator_weights import as_ours, published, without_statistics
from training.importers.translators.unet_widening import widened
from training.networks.grey import GreyTranslator
from training.networks.norms import ImageNorm2d, NormName
from training.networks.resnet import ResNet
from training.networks.unet import UNet

Statistics = Literal["running", "batch"]

TEST_TIME: Statistics = "running"
"""What a served network normalises by: the same pixels of an image every time, as the public code has with
`--eval`. Without, it stays in training mode, where dropout is random."""

_VARIANTS: dict[Statistics, str] = {"running": "running-statistics", "batch": "image-statistics"}
_STATISTICS_NOTES: dict[Statistics, str] = {
    "batch": (
        "Batch normalisation goes by the statistics of each image, as the public test.py does without "
        f"--eval; `--variant {_VARIANTS['running']}` takes the averages of the training, as with --eval."
    ),
    "running": (
        "Batch normalisation goes by the averages of the training, as the public test.py does with --eval; "
        f"`--variant {_VARIANTS['batch']}` takes the statistics of each image, as it does without."
    ),
}
_EXAMPLE_SIDE = 64
_PUBLIC_MULTIPLE = 4


def recognised(
    tensors: Tensors, network_class: type[ResNet | UNet], options: dict[str, Any], **about: Any
) -> Recognised:
    """What a file of a translator is.

    Args:
        tensors: Of the network that is wanted, under their public names.
        network_class: Ours.
        options: What it is to be made with.
        about: `format`, `title`, `family` and `part` of the result.

    Raises:
        UnsupportedWeightsError: If no pictures go in or come out.
    """
    check_channels(options)
    with torch.device("meta"):
        shape = network_class(**options)
    as_ours(shape, _used(tensors, shape, options["norm"])[0])  # so that what does not fit is known at once

    def build(statistics: Statistics) -> Callable[[], Imported]:
        return lambda: _imported(tensors, network_class, options, statistics)

    variants = {}
    if options["norm"] == "batch":
        variants = {name: build(statistics) for statistics, name in _VARIANTS.items()}
    return Recognised(
        kind="translator",
        hyperparameters=options if network_class is ResNet else _without_dropout(options),
        parameters=sum(t.numel() for name, t in tensors.items() if name.endswith((".weight", ".bias"))),
        build=build(TEST_TIME),
        variants=variants,
        **about,
    )


def _imported(
    tensors: Tensors, network_class: type[ResNet | UNet], options: dict[str, Any], statistics: Statistics
) -> Imported:
    network = network_class(**options)
    norm = options["norm"]
    stored = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    used, notes = _used(tensors, network, norm)
    state, biases = as_ours(network, used)
    network.load_state_dict(state)
    if biases:
        notes.append(f"{len(biases)} convolutions have no bias in the file; theirs is zero.")
    test_time = TestTime(statistics=statistics)
    card = {
        "size_multiple": network.size_multiple,
        "min_size": network.min_size,
        **policies(GeneratorConfig(norm=norm, dropout=options["dropout"]), test_time),
    }
    if isinstance(network, UNet):
        card["dropout"] = (
            "Off in use, so that the same image gives the same pixels. The file does not tell whether units "
            "were dropped in training; the Pix2Pix paper (section 3.3) keeps doing so, as its only noise."
        )
    notes += _policy_notes(network, options, statistics)
    served = as_served(network, test_time)
    grey_in, grey_out = options["in_channels"] == 1, options["out_channels"] == 1
    if grey_in or grey_out:
        served = GreyTranslator(served, grey_in, grey_out).eval()
        notes.append(_grey_note(grey_in, grey_out))
    side = max(_EXAMPLE_SIDE, network.min_size)
    reference = StoredTranslator(stored, norm, by_image=statistics == "batch")
    return Imported(served, reference, card, notes, (side, side))


def _used(tensors: Tensors, network: ResNet | UNet, norm: NormName) -> tuple[dict[str, Tensor], list[str]]:
    """What is used of the tensors, in FP32, and notes on what was done to them."""
    notes = []
    used = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    if any(t.is_floating_point() and t.element_size() < 4 for t in tensors.values()):
        notes.append("Stored in half precision; computed in FP32.")
    if norm.startswith("instance"):
        used, dropped = without_statistics(used, public_names(network))
        if dropped:
            notes.append(
                f"{dropped} running statistics of instance normalisation are left out: files from before "
                "October 2018 hold them, and the public code ignores them too."
            )
    if norm == "batch" and (moved := _move_biases(used)):
        notes.append(
            f"{moved} convolutions have biases before batch normalisation, unlike those of the public code; "
            "they are part of its averages now, which is the same."
        )
    return used, notes


def _move_biases(tensors: dict[str, Tensor]) -> int:
    """Takes biases right before batch normalisation from its averages; returns how many there were.

    What is added to a channel before its mean is taken away may as well be taken from the mean.
    """
    moved = 0
    for name in [name for name in tensors if name.endswith(".running_mean")]:
        parent, _, place = name.removesuffix(".running_mean").rpartition(".")
        bias = tensors.pop(f"{parent}.{int(place) - 1}.bias", None) if place.isdecimal() else None
        if bias is not None:
            if bias.shape != tensors[name].shape:
                raise UnsupportedWeightsError(
                    f"{name} is {list(tensors[name].shape)}, and the bias before it {list(bias.shape)}: the "
                    "file is damaged"
                )
            tensors[name] = tensors[name] - bias
            moved += 1
    return moved


def _without_dropout(options: dict[str, Any]) -> dict[str, Any]:
    """Hyper-parameters of a U-Net, whose file does not tell whether units were dropped."""
    return {key: value for key, value in options.items() if key != "dropout"}


def _policy_notes(network: nn.Module, options: dict[str, Any], statistics: Statistics) -> list[str]:
    notes = []
    if options["norm"] == "batch":
        notes.append(_STATISTICS_NOTES[statistics])
    if options["dropout"] or isinstance(network, UNet):
        notes.append(
            "Dropout is off, so that the same image gives the same pixels; the public test.py leaves it on "
            "without --eval, if the network was trained with it."
        )
    return notes


def _grey_note(grey_in: bool, grey_out: bool) -> str:
    takes, makes = ("grey" if grey else "colour" for grey in (grey_in, grey_out))
    how = " The luma of a picture is taken (ITU-R BT.601)." if grey_in else ""
    return f"The network takes {takes} pictures and makes {makes} ones.{how}"


def publish_translator(network: ResNet | UNet, code: str) -> dict[str, Any]:
    """The state dict that public code loads into such a network.

    Args:
        network: Ours, also as it is served.
        code: Whose code, for messages.

    Raises:
        UnsupportedWeightsError: If that code cannot make such a network.
    """
    if isinstance(network, ResNet) and network.size_multiple != _PUBLIC_MULTIPLE:
        raise UnsupportedWeightsError(
            f"the ResNet of {code} halves images twice before its residual blocks; this one makes them "
            f"{network.size_multiple} times smaller"
        )
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d)]
    if any(isinstance(m, nn.InstanceNorm2d) and m.affine and not isinstance(m, ImageNorm2d) for m in norms):
        raise UnsupportedWeightsError(
            f"instance normalisation of {code} neither scales nor shifts, and that of this network does"
        )
    tensors = published(network)
    if isinstance(network, UNet):
        tensors = _as_wide_as_public(network, tensors, code)
    return tensors if norms else _without_biases(tensors, code)


def _as_wide_as_public(network: UNet, tensors: dict[str, Tensor], code: str) -> dict[str, Tensor]:
    levels = len(network.down)
    if levels < MIN_LEVELS:
        raise UnsupportedWeightsError(
            f"the U-Net of {code} halves images at least {MIN_LEVELS} times; this one does {levels} times "
            "(`generator.num_downs`)"
        )
    convolutions = [m for m in network.down.modules() if isinstance(m, nn.Conv2d)]
    widths = [m.out_channels for m in convolutions]
    wanted = [widths[0] * 2 ** min(i, 3) for i in range(levels)]
    return tensors if widths == wanted else widened(tensors, widths, wanted)


def _without_biases(tensors: dict[str, Tensor], code: str) -> dict[str, Tensor]:
    """Where nothing is normalised, convolutions of public code have no biases, but for the last."""
    last = "model.model.3.bias" if "model.model.3.bias" in tensors else list(tensors)[-1]
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(".bias") or name == last}
    if any(tensor.any() for name, tensor in tensors.items() if name not in kept):
        raise UnsupportedWeightsError(
            f"without normalisation, convolutions of {code} have no biases, and those of this network have"
        )
    return kept
