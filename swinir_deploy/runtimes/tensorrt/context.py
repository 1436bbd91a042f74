"""An execution context of TensorRT that checks the result of every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swinir_deploy.errors import InferenceError
from swinir_deploy.nvidia.cuda import CudaStream
from swinir_deploy.nvidia.tensorrt_api import IExecutionContext
from swinir_deploy.runtimes.engine_lane import Shape
from swinir_deploy.runtimes.tensorrt.profiles import choose_profile

if TYPE_CHECKING:
    from swinir_deploy.runtimes.tensorrt.engine import LoadedEngine

__all__ = ["TensorRtContext"]


class TensorRtContext:
    """An execution context that checks the result of every call."""

    def __init__(self, engine: LoadedEngine, stream: CudaStream) -> None:
        self._engine = engine
        self._stream = stream.address
        self._native: IExecutionContext = engine.create_native_context()
        self._profile: int | None = None
        self._shape: Shape | None = None
        self._memory: tuple[int, int] | None = None
        self.activation_bytes = 0

    def choose(self, shape: Shape) -> None:
        """Set profile and input shape, and store the memory that they take.

        Raises:
            InputError: no profile takes the shape.
            InferenceError: the library refuses them.
        """
        profile = choose_profile(self._engine.profiles, shape)
        if (profile, shape) == (self._profile, self._shape):
            return
        self._shape = None
        native, name = self._native, self._engine.input_name
        if profile != self._profile:
            self._require(
                native.set_optimization_profile_async(profile, self._stream),
                f"choose profile {profile}",
            )
            self._profile = profile
        self._require(native.set_input_shape(name, shape), f"take an input of {list(shape)}")
        unknown = native.infer_shapes()
        self._require(not unknown, f"tell the shape of {', '.join(unknown)}")
        if not self._engine.owns_activations:
            needed = native.update_device_memory_size_for_shapes()
            self._require(needed > 0, f"tell what memory an input of {list(shape)} takes")
            # At least one unit of alignment, so that there is always an address.
            self.activation_bytes = max(256, needed)
            self._memory = None
        self._shape = shape

    def forget(self) -> None:
        """Forget shape and memory after the memory was released; the next run sets them again."""
        self._shape = self._memory = None

    def use_memory(self, address: int, size: int) -> None:
        """Set the memory for the activations: its address and its size in bytes."""
        if self._memory != (address, size):
            self._native.set_device_memory(address, size)
            self._memory = (address, size)

    def bind(self, input_address: int, output_address: int) -> None:
        """Set the addresses of input and output."""
        for name, address in (
            (self._engine.input_name, input_address),
            (self._engine.output_name, output_address),
        ):
            self._require(self._native.set_tensor_address(name, address), f"bind {name}")

    def execute(self) -> None:
        """Enqueue one run.

        Raises:
            InferenceError: the library refuses it.
        """
        with self._engine.library.collecting() as messages:
            done = self._native.execute_async_v3(self._stream)
        if not done:
            said = "; ".join(message.text for message in messages) or "without a reason"
            raise InferenceError(
                f"{self._engine.library} could not run {self._engine.path} on an input of "
                f"{list(self._shape or ())} ({said[:500]})."
            )

    def _require(self, done: bool, what: str) -> None:
        if not done:
            raise InferenceError(
                f"{self._engine.library} could not {what} for {self._engine.path}. Build the "
                "engine again with 'swinir-deploy build'."
            )
