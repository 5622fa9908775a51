"""The names that a pickle of weights may use, and the plain data that each stands for.

This is the whole list. Nothing on it is the object of that name: each is a function of ours.
"""

from __future__ import annotations

from typing import Any

import torch

from training.importers.base import UnreadableWeightsError, UnsupportedWeightsError
from training.importers.files.inert import (
    Attributes,
    InertModule,
    Known,
    empty_array,
    numpy_array,
    numpy_scalar,
    numpy_type,
)
from training.importers.files.stored_tensors import (
    DTYPES,
    STORAGE_DTYPES,
    PendingTensor,
    StorageType,
    pending_tensor,
)

MAX_ARGUMENTS = 10
"""Of what rebuilds a tensor."""


def _dictionary(pairs: object = ()) -> dict[Any, Any]:
    """An `OrderedDict`, empty or of pairs as Python 2 wrote it; a `Counter` is of a dictionary."""
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list | tuple):
        raise UnreadableWeightsError("has a dictionary that is none")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or type(pair[0]) is not str:
            raise UnreadableWeightsError("has a dictionary whose keys are no text")
    return dict(pairs)


def _default_dictionary(_factory: object = None, pairs: object = ()) -> dict[Any, Any]:
    return _dictionary(pairs)


def _list(values: object = (), _longest: object = None) -> list[Any]:
    """A queue or a set; a list, as the hashes of a set's members may be chosen to take quadratic time."""
    if not isinstance(values, list | tuple):
        raise UnreadableWeightsError("has a set that is none")
    return list(values)


def _attributes() -> Attributes:
    return Attributes()


def _path(*parts: object) -> str:
    return "/".join(str(part) for part in parts if isinstance(part, str)).replace("//", "/")


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Bytes, as protocol 2 has no others."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UnreadableWeightsError("has bytes in an unknown encoding")
    return text.encode("latin-1")


def _device(kind: object = "cpu", index: object = None) -> str:
    if type(kind) is not str:
        raise UnreadableWeightsError("has a device that is none")
    return kind if index is None else f"{kind}:{index}" if type(index) is int else kind


def _size(values: object = ()) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise UnreadableWeightsError("has a size that is none")
    return tuple(values)


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> PendingTensor:
    return pending_tensor(storage, offset, size, stride)


def _typed_tensor(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    _grad: object,
    _hooks: object,
    dtype: object,
    *_: object,
) -> PendingTensor:
    if not isinstance(dtype, torch.dtype):
        raise UnreadableWeightsError("has a tensor of no known dtype")
    return pending_tensor(storage, offset, size, stride, dtype)


def _parameter(tensor: object, *_: object) -> PendingTensor:
    if not isinstance(tensor, PendingTensor):
        raise UnreadableWeightsError("has a parameter that is no tensor")
    return tensor


def _of_type(function: object, kind: object, arguments: object, _state: object) -> PendingTensor:
    """A tensor with attributes of its own, which are left."""
    if not isinstance(function, Known) or function.call not in (_tensor, _typed_tensor, _parameter):
        raise UnreadableWeightsError("has a tensor of an unknown kind")
    if not isinstance(kind, Known) or not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
        raise UnreadableWeightsError("has a tensor of an unknown kind")
    return function.call(*arguments)  # type: ignore[no-any-return]  # of the three above


def _persistent(meta: object) -> InertModule:
    """NVIDIA's module with its source code, which is text and stays it."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise UnreadableWeightsError("has a module of NVIDIA's that does not say what it is")
    name, state = meta.get("class_name"), meta.get("state")
    if type(name) is not str:
        raise UnreadableWeightsError("has a module of NVIDIA's without a class")
    module = InertModule(name)
    module.build(state)
    return module


def _known(*names: str, call: Any = None, new: Any = None) -> dict[str, object]:
    return {name: Known(name, call, new) for name in names}


_TENSORFLOW = UnsupportedWeightsError(
    "is a StyleGAN of the TensorFlow days: convert it with `legacy.py` of NVIDIA's stylegan2-ada-pytorch or "
    "stylegan3 first, and import the .pkl that it writes"
)
_NO_SUCH_TENSOR = UnsupportedWeightsError(
    "has sparse, quantised or otherwise special tensors: save ordinary ones, in floating point"
)

_ATTRIBUTE_DICTIONARIES = (
    "dnnlib.EasyDict",
    "dnnlib.util.EasyDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
_NUMPY_CORES = ("numpy.core", "numpy._core")

NAMES: dict[str, object] = {
    # Python's own.
    **_known(
        "collections.OrderedDict", "collections.Counter", "builtins.dict", call=_dictionary, new=_dictionary
    ),
    **_known("collections.defaultdict", call=_default_dictionary),
    **_known("collections.deque", "builtins.set", "builtins.frozenset", call=_list, new=_list),
    **_known("argparse.Namespace", "types.SimpleNamespace", call=_attributes, new=_attributes),
    **_known("builtins.object", "copyreg._reconstructor"),
    **_known(*(f"builtins.{kind}" for kind in ("int", "long", "float", "bool", "str", "unicode", "list"))),
    **_known(
        *(f"{module}.{kind}" for module in ("pathlib", "pathlib._local") for kind in (
            "Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"
        )),
        call=_path,
    ),
    **_known("_codecs.encode", call=_encoded),
    # NumPy.
    **_known(*(f"{core}.multiarray._reconstruct" for core in _NUMPY_CORES), call=empty_array),
    **_known(*(f"{core}.multiarray.scalar" for core in _NUMPY_CORES), call=numpy_scalar),
    **_known(*(f"{core}.numeric._frombuffer" for core in _NUMPY_CORES), call=numpy_array),
    **_known("numpy.dtype", call=numpy_type),
    **_known("numpy.ndarray"),
    # PyTorch.
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    **{f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    **{f"torch.cuda.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    **{name: StorageType(None) for name in ("torch.storage.UntypedStorage", "torch.UntypedStorage")},
    **_known("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", call=_tensor),
    **_known("torch._utils._rebuild_tensor_v3", call=_typed_tensor),
    **_known(
        "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", call=_parameter
    ),
    **_known("torch._tensor._rebuild_from_type_v2", call=_of_type),
    **_known("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"),
    **_known("torch.Size", call=_size, new=_size),
    **_known("torch.device", call=_device),
    **dict.fromkeys(
        (
            "torch._utils._rebuild_sparse_tensor",
            "torch._utils._rebuild_sparse_csr_tensor",
            "torch._utils._rebuild_qtensor",
            "torch._utils._rebuild_meta_tensor_no_storage",
            "torch._utils._rebuild_nested_tensor",
            "torch._utils._rebuild_device_tensor_from_numpy",
            *(f"torch.{kind}Storage" for kind in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")),
        ),
        _NO_SUCH_TENSOR,
    ),
    # StyleGAN.
    **_known("torch_utils.persistence._reconstruct_persistent_obj", call=_persistent),
    **_known(*_ATTRIBUTE_DICTIONARIES, call=_attributes, new=_attributes),
    **dict.fromkeys(("dnnlib.tflib.network.Network", "tfutil.Network"), _TENSORFLOW),
}  # fmt: skip
