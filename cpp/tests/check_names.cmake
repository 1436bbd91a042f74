# What the installed library shows, and what it and its plug-ins are linked to:
#   cmake -DNM=... -DOBJDUMP=... -DLIBDIR=... -P check_names.cmake
cmake_minimum_required(VERSION 3.20)

function(read_lines variable pattern)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "${pattern}" found "${output}")
  set(${variable} "${found}" PARENT_SCOPE)
endfunction()

set(library "${LIBDIR}/libswinir.so")
# The interface: another name here is another ABI.
set(expected
    swinir_last_error swinir_model_close swinir_model_get_info swinir_model_open
    swinir_model_open_memory swinir_model_output_shape swinir_session_create swinir_session_destroy
    swinir_session_get_memory swinir_session_restore swinir_session_run swinir_status_name
    swinir_version)
read_lines(lines "[0-9a-f]+ [A-Za-z] [^\n]+" ${NM} --dynamic --defined-only ${library})
list(TRANSFORM lines REPLACE "^[0-9a-f]+ [A-Za-z] " "" OUTPUT_VARIABLE shown)
list(SORT shown)
if(NOT shown STREQUAL expected)
  message(FATAL_ERROR "libswinir.so shows\n  ${shown}\nnot\n  ${expected}")
endif()

read_lines(soname "SONAME +[^\n]+" ${OBJDUMP} -p ${library})
if(NOT soname MATCHES "libswinir\\.so\\.0\\.1$")
  message(FATAL_ERROR "libswinir.so has another soname: ${soname}")
endif()

# Neither the library nor a plug-in is linked to what it runs on.
file(GLOB plugins "${LIBDIR}/swinir/libswinir_*.so")
if(NOT plugins)
  message(FATAL_ERROR "No plug-in is installed in ${LIBDIR}/swinir.")
endif()
foreach(file ${library} ${plugins})
  read_lines(needed "NEEDED +[^\n]+" ${OBJDUMP} -p ${file})
  foreach(line ${needed})
    if(NOT line MATCHES "NEEDED +(libc|libm|libdl|libgcc_s|libstdc\\+\\+|ld-linux.*)\\.so")
      message(FATAL_ERROR "${file} is linked to something: ${line}")
    endif()
  endforeach()
endforeach()
