"""Every public name and its module; ``__init__.py`` imports a name when it is first used."""

from .adoption.adopt import AdoptionReport as AdoptionReport
from .adoption.adopt import adopt_onnx as adopt_onnx
from .artifacts.engine_cache import CacheEntry as CacheEntry
from .artifacts.engine_cache import EngineCache as EngineCache
from .artifacts.info import EngineInfo as EngineInfo
from .artifacts.info import OnnxInfo as OnnxInfo
from .benchmarking.benchmark import benchmark as benchmark
from .benchmarking.contenders import Contender as Contender
from .benchmarking.reports import BenchmarkReport as BenchmarkReport
from .bundling.bundle import BundleReport as BundleReport
from .bundling.bundle import make_bundle as make_bundle
from .errors import SwinIRDeployError as SwinIRDeployError
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.reports import EvaluationReport as EvaluationReport
from .evaluation.reports import PictureScore as PictureScore
from .evaluation.reports import StatedFigure as StatedFigure
from .exporters.onnx.export import ExportReport as ExportReport
from .exporters.onnx.export import export_onnx as export_onnx
from .exporters.tensorrt.build import BuildReport as BuildReport
from .exporters.tensorrt.build import build_engine as build_engine
from .exporters.tensorrt.inspect import EngineInspection as EngineInspection
from .exporters.tensorrt.inspect import inspect_model as inspect_model
from .exporters.tensorrt.options import BuildOptions as BuildOptions
from .exporters.tensorrt.shapes import ShapeRequest as ShapeRequest
from .models.catalog import ModelCard as ModelCard
from .models.catalog import load_catalog as load_catalog
from .models.info import CheckpointInfo as CheckpointInfo
from .models.info import info as info
from .models.load import LoadedModel as LoadedModel
from .models.load import load_model as load_model
from .network.config import SwinIRConfig as SwinIRConfig
from .network.swinir import SwinIR as SwinIR
from .restoration.reports import FolderReport as FolderReport
from .restoration.reports import RestoredFile as RestoredFile
from .restoration.restorer import Restorer as Restorer
from .restoration.restorer import restore as restore
from .runtimes.base import Runtime as Runtime
from .runtimes.base import RuntimeStats as RuntimeStats
from .runtimes.registry import open_runtime as open_runtime
from .runtimes.spec import RuntimeSpec as RuntimeSpec
from .verification.layers.compare import compare_layers as compare_layers
from .verification.layers.reports import LayersReport as LayersReport
from .verification.parity import Limit as Limit
from .verification.parity import ParityReport as ParityReport
from .verification.parity import verify as verify
from .video.reports import VideoReport as VideoReport
from .video.restore import restore_video as restore_video

__version__: str
__all__: list[str]
