# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# What tests and benchmarks need and the library does not: Catch2 (2.13.5 or newer, or 3), rapidcheck, Google Benchmark, libnuma.
#
# Each is looked for first. What is missing is got only if FOLIO_GET_DEPENDENCIES says so, as the presets do: from Debian's
# packages when we are root on a machine with apt-get, else as a pinned source that is built here. libnuma is optional.

# Sets `folio_missing` to the needed libraries that are not there, in Debian's names.
macro(folio_find_dependencies)
  set(folio_missing)
  if(FOLIO_BUILD_TESTS)
    find_package(Catch2 QUIET CONFIG)
    if(NOT TARGET Catch2::Catch2WithMain)
      list(APPEND folio_missing catch2)
    endif()
    find_package(rapidcheck QUIET CONFIG)
    if(NOT TARGET rapidcheck)
      list(APPEND folio_missing librapidcheck-dev)
    endif()
  endif()
  if(FOLIO_BUILD_BENCH)
    find_package(benchmark QUIET CONFIG)
    if(NOT TARGET benchmark::benchmark)
      list(APPEND folio_missing libbenchmark-dev)
    endif()
  endif()
endmacro()

# Installs Debian packages. A failure is a warning: the pinned sources come next.
function(folio_apt_install)
  execute_process(COMMAND id -u OUTPUT_VARIABLE user_id OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_program(FOLIO_APT_GET apt-get)
  mark_as_advanced(FOLIO_APT_GET)
  if(NOT FOLIO_APT_GET OR NOT user_id STREQUAL "0")
    return()
  endif()
  list(JOIN ARGV " " packages)
  message(STATUS "folio: installing the Debian packages ${packages}")
  set(apt_get ${CMAKE_COMMAND} -E env DEBIAN_FRONTEND=noninteractive ${FOLIO_APT_GET} -qq)
  execute_process(COMMAND ${apt_get} update OUTPUT_QUIET ERROR_QUIET)
  execute_process(COMMAND ${apt_get} install -y --no-install-recommends ${ARGV}
    OUTPUT_QUIET ERROR_VARIABLE problem RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(WARNING "folio: apt-get could not install ${packages}: ${problem}")
  endif()
endfunction()

# Declares and builds a pinned source; `name` is in lower case. Its warnings are not ours, and nothing of it is installed.
function(folio_fetch name repository commit)
  message(STATUS "folio: building ${name} from ${repository} at ${commit}")
  include(FetchContent)
  FetchContent_Declare(${name} GIT_REPOSITORY ${repository} GIT_TAG ${commit} GIT_SUBMODULES "")
  FetchContent_GetProperties(${name})
  if(NOT ${name}_POPULATED)
    FetchContent_Populate(${name})
    add_subdirectory(${${name}_SOURCE_DIR} ${${name}_BINARY_DIR} EXCLUDE_FROM_ALL SYSTEM)
  endif()
endfunction()

folio_find_dependencies()
if(FOLIO_GET_DEPENDENCIES)
  set(folio_packages ${folio_missing})
  find_path(FOLIO_NUMA_INCLUDE_DIR numa.h)
  if(FOLIO_ENABLE_NUMA AND NOT FOLIO_NUMA_INCLUDE_DIR)
    list(APPEND folio_packages libnuma-dev)
  endif()
  if(folio_packages)
    folio_apt_install(${folio_packages})
    folio_find_dependencies()
  endif()
  if("catch2" IN_LIST folio_missing)  # v3.7.1
    folio_fetch(catch2 https://github.com/catchorg/Catch2.git fa43b77429ba76c462b1898d6cd2f2d7a9416b14)
  endif()
  if("librapidcheck-dev" IN_LIST folio_missing)  # it has no releases
    folio_fetch(rapidcheck https://github.com/emil-e/rapidcheck.git ff6af6fc683159deb51c543b065eba14dfcf329b)
  endif()
  if("libbenchmark-dev" IN_LIST folio_missing)  # v1.9.4
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    folio_fetch(benchmark https://github.com/google/benchmark.git eddb0241389718a23a42db6af5f0164b6e0139af)
  endif()
elseif(folio_missing)
  list(JOIN folio_missing " " folio_missing)
  message(FATAL_ERROR "folio: missing for tests and benchmarks (Debian's names): ${folio_missing}. Install them, or let the "
    "build get them with -DFOLIO_GET_DEPENDENCIES=ON, or leave them out with -DFOLIO_BUILD_TESTS=OFF -DFOLIO_BUILD_BENCH=OFF.")
endif()
