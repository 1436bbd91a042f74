"""Run a fused network on the fake driver and print its launches as JSON; a process of its own,
because Triton decides when it is imported whether it interprets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.fake_triton_driver import FakeTritonDriver

from swinir_deploy.kernels.fused import FusedSwinIR
from swinir_deploy.kernels.settings import settings_for
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR


def main() -> None:
    request = json.loads(sys.argv[1])
    driver = FakeTritonDriver(request["architecture"])
    driver.install()
    network = SwinIR(SwinIRConfig.from_dict(request["config"])).eval()
    fused = FusedSwinIR(
        network,
        getattr(torch, request["dtype"]),
        device="cpu",
        io=request["io"],
        settings=settings_for(request["architecture"]),
    )
    rounds = []
    for shape in request["shapes"]:
        if request["io"] == "image":
            picture = torch.zeros(shape, dtype=torch.uint8)
        else:
            picture = torch.zeros(shape)
        before = len(driver.launches)
        result = fused(picture)
        rounds.append(
            {
                "launches": [
                    {"kernel": launch.kernel, "grid": launch.grid, "shared": launch.metadata.shared}
                    for launch in driver.launches[before:]
                ],
                "result": list(result.shape),
                "compiled": len(driver.compiled),
            }
        )
    json.dump(rounds, sys.stdout)


if __name__ == "__main__":
    main()
