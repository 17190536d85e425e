# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# CUDA is used where it is found and never required. The tests compile every kernel, so with them it is the default.

if((FOLIO_BUILD_TESTS AND NOT DEFINED FOLIO_ENABLE_CUDA) OR FOLIO_ENABLE_CUDA)
  # The toolkit's own place is often not on the PATH of a script.
  find_program(FOLIO_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(FOLIO_NVCC)
  if(FOLIO_NVCC AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${FOLIO_NVCC})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(CMAKE_CUDA_COMPILER)
  set(cuda_found ON)
else()
  set(cuda_found OFF)
endif()
option(FOLIO_ENABLE_CUDA "Compile the CUDA sources of the tests, examples and benchmarks" ${cuda_found})

set(folio_architectures 80 90 100)  # Ampere, Hopper, Blackwell
if(FOLIO_ENABLE_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${folio_architectures})
  endif()
  enable_language(CUDA)
  include(CheckCompilerFlag)
  check_compiler_flag(CUDA --Ofast-compile=max FOLIO_HAS_FAST_COMPILE)
endif()

# folio_compile_for_one_gpu(<target>): for programs made of the library's kernels. Where the tests are built, these are
# compiled for every architecture by tests/*/*_kernels.cu; to do so again in each program takes nvcc minutes. A build
# that names its own architectures has those.
function(folio_compile_for_one_gpu target)
  if(FOLIO_BUILD_TESTS AND CMAKE_CUDA_ARCHITECTURES STREQUAL folio_architectures)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES 90)
  endif()
endfunction()

# folio_compile_fast(<target>): for kernels that a build with tests compiles to see that they compile. nvcc optimizes a Debug
# build as any other, and takes half its time for it; gpu_bench, which has most of the kernels, stays optimized.
function(folio_compile_fast target)
  if(FOLIO_BUILD_TESTS AND FOLIO_HAS_FAST_COMPILE)
    target_compile_options(${target} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<CONFIG:Debug>>:--Ofast-compile=max>)
  endif()
endfunction()
