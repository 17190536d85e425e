# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake [-DFIX=ON] -P cmake/checks/format.cmake
#
# Every C++ and CUDA file is as clang-format 14 with our .clang-format would write it; with FIX it is made so. Other versions
# format differently, so this one is wanted. Where it is missing it is installed if we may; else the check is skipped and
# says so, and under CI=true it fails.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/files.cmake)

# Sets CLANG_FORMAT to a clang-format 14, or to nothing.
function(find_clang_format)
  unset(program)
  find_program(program NAMES clang-format-14 clang-format NO_CACHE)
  set(version "")
  if(program)
    execute_process(COMMAND ${program} --version OUTPUT_VARIABLE version)
  endif()
  if(NOT version MATCHES "version 14\\.")
    set(program "")
  endif()
  set(CLANG_FORMAT "${program}" PARENT_SCOPE)
endfunction()

find_clang_format()
if(NOT CLANG_FORMAT)
  execute_process(COMMAND id -u OUTPUT_VARIABLE user_id OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_program(APT_GET apt-get)
  if(APT_GET AND user_id STREQUAL "0")
    message(STATUS "format: installing the Debian package clang-format-14")
    set(apt_get ${CMAKE_COMMAND} -E env DEBIAN_FRONTEND=noninteractive ${APT_GET} -qq)
    execute_process(COMMAND ${apt_get} update OUTPUT_QUIET ERROR_QUIET)
    execute_process(COMMAND ${apt_get} install -y --no-install-recommends clang-format-14 OUTPUT_QUIET ERROR_QUIET)
    find_clang_format()
  endif()
endif()
if(NOT CLANG_FORMAT)
  if("$ENV{CI}" STREQUAL "true")
    message(FATAL_ERROR "format: there is no clang-format 14")
  endif()
  message(NOTICE "format: SKIP, nothing was checked: there is no clang-format 14")
  return()
endif()

folio_list_files(files)
list(FILTER files INCLUDE REGEX "\\.(hpp|inl|cpp|cuh|cu)$")
if(FIX)
  set(mode -i)
else()
  set(mode --dry-run --Werror)
endif()
execute_process(COMMAND ${CLANG_FORMAT} ${mode} ${files} WORKING_DIRECTORY ${ROOT} RESULT_VARIABLE result)
list(LENGTH files num_files)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "format: run cmake -DFIX=ON -P cmake/checks/format.cmake")
endif()
message(STATUS "format: ${num_files} files, no problem")
