# What the library and its plug-ins show, and what they are linked to:
#   cmake -DOBJDUMP=... -DLIBRARY=... -DPLUGINS=FOLDER -P check_names.cmake
cmake_minimum_required(VERSION 3.20)

# The interface: another name here is another ABI.
set(interface
    swinir_last_error swinir_model_close swinir_model_get_info swinir_model_open
    swinir_model_open_memory swinir_model_output_shape swinir_session_create swinir_session_destroy
    swinir_session_get_memory swinir_session_restore swinir_session_run swinir_status_name
    swinir_version)
# What every system has; GCC's own libraries on Linux, none of them on Windows.
set(allowed
    "^((libc|libm|libdl|libgcc_s|libstdc\\+\\+|ld-linux.*)\\.so.*|KERNEL32\\.dll|msvcrt\\.dll)$")

function(check_file file)
  execute_process(COMMAND ${OBJDUMP} -p -T ${file} OUTPUT_VARIABLE output ERROR_QUIET)
  if(file MATCHES "\\.dll$")
    # "[   0] swinir_last_error", in the table of exported names.
    string(REGEX REPLACE ".*\\[Ordinal/Name Pointer\\] Table" "" exports "${output}")
    string(REGEX REPLACE "\n\n.*" "" exports "${exports}")
    string(REGEX MATCHALL "\\[ *[0-9]+\\] [A-Za-z_][A-Za-z_0-9]*" shown "${exports}")
    list(TRANSFORM shown REPLACE ".*\\] " "")
    string(REGEX MATCHALL "DLL Name: [^\n]+" needed "${output}")
    list(TRANSFORM needed REPLACE "DLL Name: " "")
  else()
    # "0000000000003d60 g    DF .text  0000000000000008  Base        swinir_last_error"
    string(REGEX MATCHALL "\n[0-9a-f]+ [gwu][^\n]*\\.(text|data|rodata|bss)[^\n]*" shown "${output}")
    list(TRANSFORM shown REPLACE ".* " "")
    string(REGEX MATCHALL "NEEDED +[^\n]+" needed "${output}")
    list(TRANSFORM needed REPLACE "NEEDED +" "")
  endif()
  list(SORT shown)
  if(NOT shown STREQUAL "${ARGN}")
    message(FATAL_ERROR "${file} shows\n  ${shown}\nnot\n  ${ARGN}")
  endif()
  # Neither the library nor a plug-in is linked to what it runs on.
  foreach(name ${needed})
    if(NOT name MATCHES "${allowed}")
      message(FATAL_ERROR "${file} is linked to ${name}.")
    endif()
  endforeach()
  if(NOT needed)
    message(FATAL_ERROR "${file}: nothing was read from it: ${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

check_file(${LIBRARY} ${interface})
if(LIBRARY MATCHES "so$" AND NOT output MATCHES "SONAME +libswinir\\.so\\.0\\.1\n")
  message(FATAL_ERROR "${LIBRARY} has another soname than libswinir.so.0.1.")
endif()
file(GLOB plugins "${PLUGINS}/*swinir_*")
if(NOT plugins)
  message(FATAL_ERROR "No plug-in is in ${PLUGINS}.")
endif()
foreach(plugin ${plugins})
  check_file(${plugin} swinir_backend_entry)
endforeach()
