import hashlib
import json
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from service.api.answers.model_headers import headers_of
from service.cards import (
    CardError,
    Translator,
    Upscaler,
    join_generator,
    read_triton_model,
    single_model,
)

FP32, INT32, INT64, UINT8 = (
    model_config_pb2.TYPE_FP32,
    model_config_pb2.TYPE_INT32,
    model_config_pb2.TYPE_INT64,
    model_config_pb2.TYPE_UINT8,
)
TENSORS = {
    "mapping": (
        {"z": (FP32, [8]), "truncation_psi": (FP32, [1]), "truncation_cutoff": (INT32, [1])},
        {"ws": (FP32, [4, 8])},
    ),
    "synthesis": (
        {"ws": (FP32, [4, 8]), "noise_gain": (FP32, [1]), "noise_seed": (INT64, [1])},
        {"images": (UINT8, [16, 32, 3])},
    ),
}


def card(role: str, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(role.encode()).hexdigest()
    return {"name": "toy", "kind": "generator", "role": role, "digest": digest, "title": "Toy", **changes}


def config(role: str, text: str | None = None, **changes: Any) -> model_config_pb2.ModelConfig:
    message = model_config_pb2.ModelConfig(name=f"toy-{role}", max_batch_size=16)
    for section, tensors in zip((message.input, message.output), TENSORS[role], strict=True):
        for name, (data_type, dims) in tensors.items():
            section.add(name=name, data_type=data_type, dims=dims)
    message.instance_group.add(count=2)
    message.parameters["card"].string_value = text if text is not None else json.dumps(card(role, **changes))
    return message


def test_an_older_version_has_a_card_of_its_own() -> None:
    """Triton has one config for all versions; the newest one's card is `card`."""
    both = config("mapping", title="Newer")
    both.parameters["card.1"].string_value = json.dumps(card("mapping", title="Older"))
    assert read_triton_model(both, "1").card["title"] == "Older"
    assert read_triton_model(both, "2").card["title"] == "Newer"
    del both.parameters["card"]
    with pytest.raises(CardError, match="no parameter `card`"):
        read_triton_model(both, "2")


def test_two_halves_make_one_generator() -> None:
    mapping, synthesis = (read_triton_model(config(role), "3") for role in ("mapping", "synthesis"))
    generator = join_generator(mapping, synthesis)
    digests = card("mapping")["digest"] + card("synthesis")["digest"]
    assert generator.digest == hashlib.sha256(digests.encode()).hexdigest()
    assert generator.card == {
        "name": "toy",
        "kind": "generator",
        "version": "3",
        "digest": generator.digest,
        "state": "READY",
        "title": "Toy",
    }
    assert (generator.z_dim, generator.num_ws, generator.height, generator.width) == (8, 4, 16, 32)
    assert (generator.c_dim, generator.directions) == (0, ())
    assert generator.synthesis.instances == 2
    assert generator.parts == (("toy-mapping", "3"), ("toy-synthesis", "3"))


def test_versions_that_differ_are_both_named() -> None:
    generator = join_generator(
        read_triton_model(config("mapping"), "1"), read_triton_model(config("synthesis"), "12")
    )
    assert generator.card["version"] == "1/12"


def test_conditional_with_directions() -> None:
    directions = [{"name": f"direction-{i:02}", "unit": "σ"} for i in range(1, 6)]
    mapping = config("mapping", classes=["cat", "dog"], directions=directions)
    mapping.input.add(name="label", data_type=FP32, dims=[2])
    mapping.input.add(name="edits", data_type=FP32, dims=[5])
    generator = join_generator(
        read_triton_model(mapping, "1"), read_triton_model(config("synthesis", classes=["cat", "dog"]), "1")
    )
    assert generator.c_dim == 2
    assert generator.classes == ("cat", "dog")
    assert generator.card["c_dim"] == generator.c_dim == 2
    assert generator.directions == tuple(entry["name"] for entry in directions)


@pytest.mark.parametrize(
    ("field", "value"),
    [("directions", ["one"]), ("layer_groups", {"coarse": [4]}), ("layer_groups", {"coarse": "all"})],
)
def test_a_card_that_does_not_fit_its_graph(field: str, value: object) -> None:
    mapping = read_triton_model(config("mapping", **{field: value}), "1")
    synthesis = read_triton_model(config("synthesis", **{field: value}), "1")
    with pytest.raises(CardError, match=field):
        join_generator(mapping, synthesis)


def test_transforms_are_those_that_card_and_graph_name() -> None:
    mapping = read_triton_model(config("mapping"), "1")
    synthesis = config("synthesis", transforms=["rotation", "translation"])
    synthesis.input.add(name="translation", data_type=FP32, dims=[2])
    with pytest.raises(CardError, match="`transforms` are"):
        join_generator(mapping, read_triton_model(synthesis, "1"))
    synthesis.input.add(name="rotation", data_type=FP32, dims=[1])
    generator = join_generator(mapping, read_triton_model(synthesis, "1"))
    assert generator.transforms == ("rotation", "translation")
    synthesis.input[-1].dims[:] = [2]
    with pytest.raises(CardError, match=r"`rotation` is \[2\], not \[1\]"):
        join_generator(mapping, read_triton_model(synthesis, "1"))
    with pytest.raises(CardError, match="`transforms` are"):
        join_generator(mapping, read_triton_model(config("synthesis", transforms=["rotation"]), "1"))


@pytest.mark.parametrize(
    ("said", "notice"),
    [
        ({}, None),
        ({"licence": "MIT", "commercial_use": True}, None),
        ({"licence": "unknown", "commercial_use": None}, None),
        (
            {"licence": "CC-BY-NC-4.0", "commercial_use": False},
            "Not for commercial use: its weights are under CC-BY-NC-4.0.",
        ),
    ],
)
def test_a_licence_that_forbids_commercial_use_is_said(said: dict[str, Any], notice: str | None) -> None:
    halves = (read_triton_model(config(role, **said), "1") for role in ("mapping", "synthesis"))
    assert join_generator(*halves).card.get("notice") == notice


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x/>; rel=next", "https://x/\r\na: b", 7, None]
)
def test_no_link_to_what_is_no_web_address(url: object) -> None:
    halves = (read_triton_model(config(role, licence_url=url), "1") for role in ("mapping", "synthesis"))
    assert set(headers_of(join_generator(*halves))) == {"x-model", "x-model-digest"}


SIZES = {
    "scale": 4,
    "size_multiple": 1,
    "min_size": 1,
    "max_size": 1024,
    "receptive_radius": 12,
    "tileable": True,
}


def image_config(kind: str, **changes: Any) -> model_config_pb2.ModelConfig:
    message = model_config_pb2.ModelConfig(name="larger", max_batch_size=8)
    message.input.add(name="source", data_type=UINT8, dims=[-1, -1, 3])
    message.output.add(name="images", data_type=UINT8, dims=[-1, -1, 3])
    sizes = {**SIZES, "scale": 4 if kind == "upscaler" else 1, **changes}
    sizes = {key: value for key, value in sizes.items() if value is not None}
    digest = hashlib.sha256(b"larger").hexdigest()
    message.parameters["card"].string_value = json.dumps(
        {"name": "larger", "kind": kind, "digest": digest, **sizes}
    )
    return message


def test_a_single_model_needs_no_role() -> None:
    upscaler = single_model(read_triton_model(image_config("upscaler", resolution=128), "1"))
    assert isinstance(upscaler, Upscaler)
    assert upscaler.kind == "upscaler"
    assert upscaler.card["scale"] == upscaler.scale == 4
    assert upscaler.card["digest"] == upscaler.digest == hashlib.sha256(b"larger").hexdigest()
    assert (upscaler.receptive_radius, upscaler.max_size, upscaler.resolution) == (12, 1024, 128)
    assert upscaler.window == 16
    translator = single_model(read_triton_model(image_config("translator", size_multiple=64), "1"))
    assert isinstance(translator, Translator)
    assert (translator.scale, translator.size_multiple, translator.resolution) == (1, 64, None)


@pytest.mark.parametrize("changes", [{"tileable": False}, {"tileable": None, "receptive_radius": None}])
def test_a_model_that_is_not_tileable_has_no_radius(changes: dict[str, Any]) -> None:
    assert single_model(read_triton_model(image_config("upscaler", **changes), "1")).receptive_radius is None


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("upscaler", {"scale": None}, "`scale` is None"),
        ("upscaler", {"scale": 2.5}, "`scale` is 2.5"),
        ("upscaler", {"scale": True}, "`scale` is True"),
        ("translator", {"scale": 2}, "translator of scale 2"),
        ("translator", {"size_multiple": 0}, "`size_multiple`"),
        ("translator", {"max_size": None}, "`max_size`"),
        ("translator", {"min_size": 2000}, "beyond its `max_size`"),
        ("translator", {"receptive_radius": None}, "`receptive_radius`"),
        ("translator", {"resolution": "large"}, "`resolution`"),
    ],
)
def test_image_models_that_do_not_say_what_they_take(kind: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        single_model(read_triton_model(image_config(kind, **changes), "1"))


def test_image_models_take_images_of_any_size() -> None:
    fixed = image_config("translator")
    fixed.input[0].dims[0] = 64
    with pytest.raises(CardError, match=r"`source` is \[64, -1, 3\]"):
        single_model(read_triton_model(fixed, "1"))
    del fixed.input[0]
    with pytest.raises(CardError, match="`source` of rank 3"):
        single_model(read_triton_model(fixed, "1"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({**card("mapping"), "name": "../x"}), "`name`"),
        (json.dumps({**card("mapping"), "kind": "poem"}), "`kind`"),
        (json.dumps({**card("mapping"), "digest": "123"}), "`digest`"),
    ],
)
def test_broken_cards(text: str, reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        read_triton_model(config("mapping", text), "1")


def test_no_card_and_no_batching() -> None:
    bare = config("mapping")
    del bare.parameters["card"]
    with pytest.raises(CardError, match="no parameter"):
        read_triton_model(bare, "1")
    single = config("mapping")
    single.max_batch_size = 0
    with pytest.raises(CardError, match="does not batch"):
        read_triton_model(single, "1")


def test_halves_that_do_not_fit() -> None:
    synthesis = config("synthesis")
    synthesis.input[0].dims[0] = 6
    with pytest.raises(CardError, match="synthesis takes"):
        join_generator(read_triton_model(config("mapping"), "1"), read_triton_model(synthesis, "1"))


def test_a_tensor_of_the_contract_is_missing() -> None:
    synthesis = config("synthesis")
    del synthesis.input[2]
    with pytest.raises(CardError, match="noise_seed"):
        join_generator(read_triton_model(config("mapping"), "1"), read_triton_model(synthesis, "1"))
