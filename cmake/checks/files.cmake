# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# For the checks: ROOT, the repository to look at, and folio_list_files.

if(NOT ROOT)
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH ROOT)
  cmake_path(GET ROOT PARENT_PATH ROOT)
endif()

# Sets `out` to the files of the repository, those not yet added included. Without git (an archive): all but build folders.
function(folio_list_files out)
  if(EXISTS ${ROOT}/.git)
    execute_process(COMMAND git ls-files --cached --others --exclude-standard WORKING_DIRECTORY ${ROOT}
      OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX REPLACE "\n$" "" listed "${listed}")
    string(REPLACE "\n" ";" listed "${listed}")
  else()
    file(GLOB_RECURSE listed RELATIVE ${ROOT} ${ROOT}/*)
    list(FILTER listed EXCLUDE REGEX "^build/")
  endif()
  set(files)
  foreach(file IN LISTS listed)
    if(EXISTS ${ROOT}/${file})  # git also lists what is deleted and not yet committed
      list(APPEND files ${file})
    endif()
  endforeach()
  if(NOT files)
    message(FATAL_ERROR "no files under ${ROOT}")
  endif()
  set(${out} ${files} PARENT_SCOPE)
endfunction()
