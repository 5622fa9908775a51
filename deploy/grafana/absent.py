"""Metrics that dashboards and rules name and that a machine without GPU, such as that of the tests, lacks.

Everything else has to be in a live scrape; so has each of these not to be there, or its row here is wrong.
"""

from __future__ import annotations

from typing import Final

_GPU: Final = "Triton shows it for NVIDIA GPUs alone"

ABSENT_WITHOUT_GPU: Final = {
    "nv_gpu_utilization": _GPU,
    "nv_gpu_memory_used_bytes": _GPU,
    "nv_gpu_memory_total_bytes": _GPU,
    "nv_gpu_power_usage": _GPU,
    "nv_gpu_power_limit": _GPU,
    "nv_energy_consumption": _GPU,
    "nv_cache_num_hits_per_model": "Triton shows it for models whose response cache is enabled alone",
    "gantrain_gpu_memory_bytes": "a run on a GPU shows it",
}
