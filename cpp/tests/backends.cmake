# Finds what the tests of the back ends need: headers (tools/fetch_headers.sh), and libraries in the
# packages of a Python environment. What is missing is said, and its plug-in is left out.
set(SWINIR_TEST_PYTHON "$ENV{PYTHON}" CACHE FILEPATH "An interpreter with swinir-deploy[dev]")
set(SWINIR_TEST_FILES "${PROJECT_SOURCE_DIR}/../build/cpp" CACHE PATH "Folder of headers and models")
get_filename_component(SWINIR_TEST_FILES "${SWINIR_TEST_FILES}" ABSOLUTE)
if(NOT SWINIR_TEST_PYTHON)
  set(own "${PROJECT_SOURCE_DIR}/../.venv/bin/python")
  if(EXISTS "${own}")
    set_property(CACHE SWINIR_TEST_PYTHON PROPERTY VALUE "${own}")
  endif()
endif()

# Sets `variable` to the folder of a package, or to nothing.
function(swinir_python_package package variable)
  set(folder "")
  if(SWINIR_TEST_PYTHON)
    execute_process(
      COMMAND
        ${SWINIR_TEST_PYTHON} -c
        "from importlib.util import find_spec as f; s = f('${package}'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endif()
  set(${variable} "${folder}" PARENT_SCOPE)
endfunction()

# Switches a plug-in on where all paths after its name exist, else off.
macro(swinir_test_plugin option what)
  set(${option} ON)
  foreach(path ${ARGN})
    if(NOT EXISTS "${path}")
      set(${option} OFF)
    endif()
  endforeach()
  if(NOT ${option})
    message(STATUS "skipped: ${what}")
  endif()
endmacro()

# Sets `variable` to the first file that fits a pattern, or to nothing.
function(swinir_first_file variable)
  file(GLOB found ${ARGN})
  set(first "")
  if(found)
    list(GET found 0 first)
  endif()
  set(${variable} "${first}" PARENT_SCOPE)
endfunction()

set(headers "${SWINIR_TEST_FILES}/headers")
swinir_python_package(openvino openvino)
foreach(
  pair
  ONNXRUNTIME_INCLUDE_DIR=${headers}/onnxruntime
  TENSORRT_INCLUDE_DIR=${headers}/tensorrt
  CUDA_INCLUDE_DIR=${headers}/cuda/include
  OPENVINO_INCLUDE_DIR=${openvino}/include)
  string(REGEX MATCH "^[^=]+" variable "${pair}")
  if(NOT ${variable})
    string(REPLACE "${variable}=" "" ${variable} "${pair}")
  endif()
endforeach()
swinir_test_plugin(SWINIR_ORT "the plug-in for ONNX Runtime: no headers (cpp/tools/fetch_headers.sh)"
                   "${ONNXRUNTIME_INCLUDE_DIR}/onnxruntime_c_api.h")
swinir_test_plugin(SWINIR_OPENVINO "the plug-in for OpenVINO: not in ${SWINIR_TEST_PYTHON}"
                   "${OPENVINO_INCLUDE_DIR}/openvino/c/openvino.h")
swinir_test_plugin(SWINIR_TENSORRT "the plug-in for TensorRT: no headers (cpp/tools/fetch_headers.sh)"
                   "${TENSORRT_INCLUDE_DIR}/NvInferRuntime.h" "${CUDA_INCLUDE_DIR}/cuda_runtime_api.h")

if(WIN32 AND NOT MSVC)
  # Only Microsoft's compiler makes one that works; the tests compile it all the same.
  set(SWINIR_TEST_COMPILE_TENSORRT ${SWINIR_TENSORRT})
  set(SWINIR_TENSORRT OFF)
endif()

# The libraries: of this system's packages, or of Windows' (tools/fetch_headers.sh FOLDER windows).
if(WIN32)
  swinir_first_file(SWINIR_TEST_ORT_LIBRARY "${headers}/windows/onnxruntime/capi/onnxruntime.dll")
  swinir_first_file(SWINIR_TEST_OPENVINO_LIBRARY "${headers}/windows/openvino/libs/openvino_c.dll")
else()
  swinir_python_package(onnxruntime onnxruntime)
  swinir_python_package(tensorrt_rtx_libs tensorrt_rtx)
  swinir_first_file(SWINIR_TEST_ORT_LIBRARY "${onnxruntime}/capi/libonnxruntime.so.*")
  swinir_first_file(SWINIR_TEST_OPENVINO_LIBRARY "${openvino}/libs/libopenvino_c.so*")
  swinir_first_file(SWINIR_TEST_RTX_LIBRARY "${tensorrt_rtx}/libtensorrt_rtx.so.*")
endif()
# The loader finds libcudart here.
set(SWINIR_TEST_CUDA_LIBRARIES "${headers}/cuda/lib")
set(SWINIR_TEST_MODELS "${SWINIR_TEST_FILES}/models")
