"""Latents as clients write them, checked against the model; what does not fit becomes a problem."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api.errors.problems import invalid_field
from service.api.schemas.latents import (
    Keyframe,
    LatentFields,
    LatentSource,
    PictureFields,
    TransformFields,
    WsValue,
)
from service.api.schemas.mixing import InterpolateRequest
from service.cards import Generator, TransformName
from service.synthesis import UNMOVED, Latent, Transform


def latents_for(
    model: Generator,
    fields: LatentFields,
    seeds: Sequence[int] | None,
    ws: Sequence[WsValue] | None,
    *,
    prefix: str = "",
) -> list[Latent]:
    """Latents of seeds, or of styles that the client kept.

    Args:
        model: The generator.
        fields: Truncation, label and edits, the same for all; and a transform, if the call has such fields.
        seeds: As the schema validated them.
        ws: Instead of seeds.
        prefix: Of the fields' names in problems, such as `keyframes.2.`.

    Returns:
        One latent each.

    Raises:
        ProblemError: If something does not exist in this model, or has no effect on styles.
    """
    transform = transform_of(model, fields, prefix) if isinstance(fields, PictureFields) else UNMOVED
    if ws is not None:
        for name in ("truncation", "truncation_cutoff", "label", "edits"):
            if name in fields.model_fields_set and getattr(fields, name) is not None:
                raise invalid_field(
                    prefix + name,
                    "this has no effect on `ws`: they are what comes out of truncation, label and edits",
                    f"no {name} together with ws",
                )
        where = f"{prefix}ws"
        return [
            Latent(
                ws=_styles(model, value, f"{where}.{index}" if len(ws) > 1 else where), transform=transform
            )
            for index, value in enumerate(ws)
        ]
    if fields.truncation_cutoff is not None and fields.truncation_cutoff > model.num_ws:
        raise invalid_field(
            f"{prefix}truncation_cutoff",
            f"the model has {model.num_ws} layers",
            f"an integer from 0 to {model.num_ws}",
        )
    label = class_index(model, fields.label, f"{prefix}label")
    edits = edit_amounts(model, fields.edits or {}, f"{prefix}edits")
    return [
        Latent(
            seed=seed,
            truncation=fields.truncation,
            truncation_cutoff=fields.truncation_cutoff,
            label=label,
            edits=edits,
            transform=transform,
        )
        for seed in seeds or ()
    ]


def transform_of(model: Generator, fields: TransformFields, prefix: str = "") -> Transform:
    """How a picture is turned and moved.

    Args:
        model: The generator.
        fields: As the schema validated them.
        prefix: Of the fields' names in problems.

    Returns:
        The transform; what is left out is not turned, not moved.

    Raises:
        ProblemError: If something else than zero is asked of a model that cannot do it.
    """
    # No negative zeros: they would be another recipe of the same picture.
    x, y = (value + 0.0 for value in fields.translation or (0.0, 0.0))
    transform = Transform((fields.rotation or 0.0) + 0.0, (x, y))
    refused: tuple[TransformName, ...] = ("rotation",) if transform.rotation else ()
    if any(transform.translation):
        refused += ("translation",)
    for name in refused:
        if name not in model.transforms:
            raise invalid_field(
                f"{prefix}{name}",
                f"the model takes no {name}; those do whose card names it in `transforms`",
                f"no {name} for this model",
            )
    return transform


def class_index(model: Generator, label: int | str | None, field: str = "label") -> int | None:
    """Index of a class.

    Args:
        model: The generator.
        label: Class by index (also as text) or name.
        field: Name of the field in problems.

    Returns:
        The index; None for a model without classes.

    Raises:
        ProblemError: If there is no such class, or a class is needed and none given.
    """
    if model.c_dim == 0:
        if label is not None:
            raise invalid_field(field, "the model is not conditional", "no label")
        return None
    accepted = list(model.classes) or f"an integer from 0 to {model.c_dim - 1}"
    if label is None:
        raise invalid_field(field, "the model is conditional and needs a label", accepted)
    if isinstance(label, str) and label in model.classes:
        return model.classes.index(label)
    if isinstance(label, int) or label.isdecimal():
        index = int(label)
        if index < model.c_dim:
            return index
    raise invalid_field(field, "no such class", accepted)


def edit_amounts(model: Generator, edits: Mapping[str, float], field: str = "edits") -> tuple[float, ...]:
    """Amounts in the order of the model's directions.

    Args:
        model: The generator.
        edits: Amount by name of the direction.
        field: Name of the field in problems.

    Returns:
        One amount a direction; empty if all are zero.

    Raises:
        ProblemError: If the model has no such direction.
    """
    if unknown := [name for name in edits if name not in model.directions]:
        raise invalid_field(
            f"{field}.{unknown[0]}",
            "no such direction" if model.directions else "the model ships no edit directions",
            list(model.directions) or "no edits",
        )
    if not any(edits.values()):
        return ()
    return tuple(edits.get(name, 0.0) for name in model.directions)


def layers_for(model: Generator, layers: str | Sequence[int | str], field: str = "layers") -> list[int]:
    """Layers by group, by index, or by several of either.

    Args:
        model: The generator.
        layers: `coarse`, `middle`, `fine`, or a list of groups and indices.
        field: Name of the field in problems.

    Returns:
        Indices in ascending order, each once.

    Raises:
        ProblemError: If the model has no such group or layer, or the groups hold no layer.
    """
    chosen: set[int] = set()
    for entry in [layers] if isinstance(layers, str) else layers:
        if isinstance(entry, str) and entry in model.layer_groups:
            chosen.update(model.layer_groups[entry])
        elif isinstance(entry, int) and entry < model.num_ws:
            chosen.add(entry)
        else:
            raise invalid_field(
                field,
                f"the model has no {entry!r}",
                [*model.layer_groups, f"a list of integers from 0 to {model.num_ws - 1}"],
            )
    if not chosen:
        with_layers = [group for group, held in model.layer_groups.items() if held]
        raise invalid_field(field, "this model has no layers there", with_layers)
    return sorted(chosen)


def check_z(keyframes: Sequence[Latent], field: str) -> None:
    """Refuses keyframes between which there is no path in z.

    Args:
        keyframes: One or more.
        field: Name of their list in problems.

    Raises:
        ProblemError: For styles, and for labels or cutoffs that differ.
    """
    first = keyframes[0]
    for index, keyframe in enumerate(keyframes):
        if keyframe.ws is not None:
            raise invalid_field(f"{field}.{index}.ws", "styles have no z", 'a seed, or space "w"')
        for name in ("label", "truncation_cutoff"):
            if getattr(keyframe, name) != getattr(first, name):
                raise invalid_field(
                    f"{field}.{index}.{name}",
                    f"there is nothing between two values of {name} in z",
                    f'the same {name} everywhere, or space "w"',
                )


def _styles(model: Generator, value: WsValue, field: str) -> NDArray[np.float32]:
    shape = (model.num_ws, model.w_dim)
    accepted = (
        f"base64 of {model.num_ws}×{model.w_dim} little-endian float32 values, or nested lists of that shape "
        f"(a single list of {model.w_dim} is used for every layer)"
    )
    try:
        if isinstance(value, str):
            flat = np.frombuffer(base64.b64decode(value, validate=True), "<f4")
        else:
            flat = np.array(value, np.float32)
    except (ValueError, binascii.Error) as error:
        raise invalid_field(field, f"these are no styles: {error}", accepted) from None
    if flat.shape == (model.w_dim,):
        styles = np.broadcast_to(flat, shape)
    elif flat.size == model.num_ws * model.w_dim and (flat.ndim == 1 or flat.shape == shape):
        styles = flat.reshape(shape)
    else:
        got = "×".join(map(str, flat.shape))
        raise invalid_field(field, f"{got} values, where the model takes {shape[0]}×{shape[1]}", accepted)
    if not np.isfinite(styles).all():
        raise invalid_field(field, "not every value is a finite number", accepted)
    return np.ascontiguousarray(styles, np.float32)


def keyframes_for(model: Generator, body: InterpolateRequest, field: str = "keyframes") -> list[Latent]:
    """Latents of the keyframes of a path, with the transforms of their pictures.

    Args:
        model: The generator.
        body: The keyframes, and what those take that say nothing else.
        field: Name of their list in problems.

    Returns:
        One latent each.

    Raises:
        ProblemError: If something does not exist in this model.
    """
    latents = sources_for(model, body, body.keyframes, field)
    of_all = transform_of(model, body)
    made = []
    for index, (keyframe, latent) in enumerate(zip(body.keyframes, latents, strict=True)):
        transform = of_all
        if isinstance(keyframe, Keyframe):
            fields = TransformFields(
                rotation=body.rotation if keyframe.rotation is None else keyframe.rotation,
                translation=body.translation if keyframe.translation is None else keyframe.translation,
            )
            transform = transform_of(model, fields, f"{field}.{index}.")
        made.append(replace(latent, transform=transform))
    return made


def sources_for(
    model: Generator, defaults: LatentFields, sources: Sequence[int | LatentSource], field: str
) -> list[Latent]:
    """Latents of a list that mixes seeds and objects.

    Args:
        model: The generator.
        defaults: Truncation, label and edits of what says nothing else.
        sources: As the schema validated them.
        field: Name of the list in problems.

    Returns:
        One latent each, without a transform.

    Raises:
        ProblemError: If something does not exist in this model.
    """
    latents, plain = [], LatentFields(**_given(defaults))
    for index, source in enumerate(sources):
        if isinstance(source, int):
            latents += latents_for(model, plain, [source], None)
        elif source.seed is not None:
            fields = LatentFields(**{**_given(defaults), **_given(source)})
            latents += latents_for(model, fields, [source.seed], None, prefix=f"{field}.{index}.")
        elif source.ws is not None:
            fields = LatentFields(**_given(source))
            latents += latents_for(model, fields, None, [source.ws], prefix=f"{field}.{index}.")
    return latents


def _given(fields: LatentFields) -> dict[str, Any]:
    return {
        name: getattr(fields, name) for name in LatentFields.model_fields if name in fields.model_fields_set
    }
