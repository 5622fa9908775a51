"""Public models out of Triton's."""

from __future__ import annotations

from service.cards import CardError, ServedModel, TritonModel, join_generator, single_model


def assemble(triton_models: list[TritonModel], complaints: dict[str, str]) -> dict[str, ServedModel]:
    """Puts halves together.

    Args:
        triton_models: All that are ready.
        complaints: Gets the reason, by name, for each that does not fit.

    Returns:
        Models as users know them, by public name.
    """
    halves: dict[str, dict[str, TritonModel]] = {}
    models: dict[str, ServedModel] = {}
    for model in sorted(triton_models, key=lambda model: model.name):
        name, role = model.card["name"], model.card.get("role")
        if model.card["kind"] != "generator":
            if name in models:
                complaints[model.name] = f"another model is already called {name!r}"
            else:
                try:
                    models[name] = single_model(model)
                except CardError as error:
                    complaints[model.name] = str(error)
        elif role not in ("mapping", "synthesis"):
            complaints[model.name] = f"a generator's card needs role mapping or synthesis, not {role!r}"
        elif role in halves.setdefault(name, {}):
            complaints[model.name] = f"the generator {name!r} already has a {role} model"
        else:
            halves[name][role] = model
    for name, parts in halves.items():
        if name in models:
            complaints[name] = "a generator and another model share this name"
        elif len(parts) < 2:
            complaints[name] = f"only the {next(iter(parts))} half is ready"
        else:
            try:
                models[name] = join_generator(parts["mapping"], parts["synthesis"])
            except CardError as error:
                complaints[name] = str(error)
    return models
