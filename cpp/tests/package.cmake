# Tests of the package as others meet it: installed, found by CMake and pkg-config, without foreign
# names, used by the examples, and giving the same pictures as Python. Compiled for Windows, its
# programs run under Wine.
set(prefix "${CMAKE_BINARY_DIR}/prefix")
set(libdir "${prefix}/${CMAKE_INSTALL_LIBDIR}")
set(model "${SWINIR_TEST_MODELS}/tensor.onnx")
set(strict "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror" "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
set(library "${libdir}/libswinir.so")
if(WIN32)
  set(library "${prefix}/${CMAKE_INSTALL_BINDIR}/swinir-${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}.dll")
endif()
if(CMAKE_TOOLCHAIN_FILE)
  list(APPEND strict -DCMAKE_TOOLCHAIN_FILE=${CMAKE_TOOLCHAIN_FILE} -DCMAKE_EXE_LINKER_FLAGS=-static)
endif()

# A test "package_NAME" that needs the installed package and the models.
function(swinir_package_test name)
  add_test(NAME package_${name} ${ARGN})
  set_tests_properties(package_${name} PROPERTIES FIXTURES_REQUIRED "package;models" TIMEOUT 600)
endfunction()

# Configures and builds a project against the installed package, from nothing.
function(swinir_build_test name source)
  swinir_package_test(
    ${name}
    COMMAND
      ${CMAKE_CTEST_COMMAND} --build-and-test ${source} ${CMAKE_BINARY_DIR}/${name} --build-generator
      ${CMAKE_GENERATOR} --build-makeprogram ${CMAKE_MAKE_PROGRAM} --build-noclean --build-options
      -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_FIND_ROOT_PATH=${prefix} ${strict} ${ARGN})
  set_tests_properties(package_${name} PROPERTIES FIXTURES_SETUP ${name})
endfunction()

add_test(NAME package_install COMMAND ${CMAKE_COMMAND} --install ${CMAKE_BINARY_DIR} --prefix ${prefix})
set_tests_properties(package_install PROPERTIES FIXTURES_SETUP package)

if(SWINIR_ORT)
  swinir_package_test(
    names COMMAND ${CMAKE_COMMAND} -DOBJDUMP=${CMAKE_OBJDUMP} -DLIBRARY=${library}
                  -DPLUGINS=${prefix}/${SWINIR_PLUGIN_DIR} -P
                  ${CMAKE_CURRENT_SOURCE_DIR}/check_names.cmake)
endif()

if(SWINIR_ORT AND SWINIR_TEST_ORT_LIBRARY AND SWINIR_TEST_PYTHON)
  swinir_build_test(consumer ${CMAKE_CURRENT_SOURCE_DIR}/consumer)
  set(programs consumer consumer_static)
  find_package(PkgConfig)
  if(PKG_CONFIG_FOUND AND NOT WIN32)
    list(APPEND programs consumer_pkg_config)
  elseif(NOT WIN32)
    message(STATUS "skipped: the installed package by pkg-config: there is none")
  endif()
  set(running "")
  foreach(program ${programs})
    swinir_package_test(
      ${program}_runs
      COMMAND ${CMAKE_CROSSCOMPILING_EMULATOR}
              ${CMAKE_BINARY_DIR}/consumer/${program}${CMAKE_EXECUTABLE_SUFFIX} ${model}
              ${SWINIR_TEST_ORT_LIBRARY})
    set_property(TEST package_${program}_runs APPEND PROPERTY FIXTURES_REQUIRED consumer)
    list(APPEND running package_${program}_runs)
  endforeach()

  swinir_build_test(examples ${PROJECT_SOURCE_DIR}/examples)
  swinir_package_test(
    examples_run
    COMMAND ${SWINIR_TEST_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/check_examples.py
            ${CMAKE_BINARY_DIR}/examples ${library} ${model} ${SWINIR_TEST_ORT_LIBRARY}
            ${CMAKE_CROSSCOMPILING_EMULATOR})
  set_property(TEST package_examples_run APPEND PROPERTY FIXTURES_REQUIRED examples)
  list(APPEND running package_examples_run)
  # Windows finds a DLL beside the program or on its PATH.
  set_tests_properties(${running} PROPERTIES ENVIRONMENT
                                             "${environment};WINEPATH=${prefix}/${CMAKE_INSTALL_BINDIR}")
  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    set_tests_properties(${running} PROPERTIES DISABLED TRUE)
  endif()

  if(NOT WIN32)
    # The same pictures through C and Python, a bundle that is built and run, the page on embedding.
    swinir_package_test(
      python
      COMMAND
        ${CMAKE_COMMAND} -E env SWINIR_CPP_PREFIX=${prefix} SWINIR_CPP_BUILD=${CMAKE_BINARY_DIR}
        SWINIR_CPP_MODELS=${SWINIR_TEST_MODELS} ${SWINIR_TEST_PYTHON} -m pytest -q -rs
        ${PROJECT_SOURCE_DIR}/../tests/cpp)
  endif()
endif()

if(CMAKE_CROSSCOMPILING)
  return()
endif()
find_program(SWINIR_DOXYGEN doxygen)
if(SWINIR_DOXYGEN)
  configure_file(Doxyfile.in Doxyfile @ONLY)
  add_test(NAME header_doxygen COMMAND ${SWINIR_DOXYGEN} Doxyfile)
else()
  message(STATUS "skipped: the check of the headers' documentation: no doxygen (apt-get install doxygen)")
endif()
