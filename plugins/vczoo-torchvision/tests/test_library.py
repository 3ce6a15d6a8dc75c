"""torchvision is imported without what only torch.compile needs, and works as before."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import torch
from vczoo.models.build import checked_recipe
from vczoo_torchvision.network import headless
checked_recipe("vgg16-fullfreeze", ["backbone.weights=random"])
headless("vgg11")
print("torch._dynamo" in sys.modules)
from torchvision.ops import roi_align
pooled = roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2)
print(sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu"), pooled.flatten().tolist())
import torch._dynamo
print(hasattr(torch._dynamo, "optimize"))
"""


def test_a_vgg_is_checked_and_built_without_dynamo() -> None:
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["False", "True [1.0, 1.0, 1.0, 1.0]", "True"]
