# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# folio::simt, which runs CUDA kernels on the CPU, thread by thread (docs/simt.md). Used by the build and by the installed
# package (find_package(folio COMPONENTS simt)), for which `folio_simt_dir` says where the sources are. These are compiled in
# the project that links a target, with its compiler; a project that links none compiles nothing.
#
#   folio::simt            each memory access of the target's sources is instrumented and checked
#   folio::simt_unchecked  instead: nothing is instrumented. For speed, and for the address sanitizer, which then checks memory
#   folio::simt_cuda       beside one of both: <cuda_runtime.h> and <cuda.h>, a stand-in for the CUDA runtime
#   folio::simt_program    the stand-in for a whole program, which fails if it leaves memory allocated when it ends

if(TARGET folio_simt)
  return()
endif()
block()
if(NOT folio_simt_dir)
  cmake_path(SET folio_simt_dir NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../include/folio_simt)
endif()

# Two units, which compile in a third of the time that a unit for each source takes. The stand-in is linked where it is
# called, and so in no program that does not ask for it.
set(sources runtime/barriers.cpp runtime/block.cpp runtime/failure.cpp runtime/fiber.cpp runtime/launch.cpp
  cuda_runtime/copies.cpp cuda_runtime/device.cpp cuda_runtime/driver.cpp cuda_runtime/graphs.cpp cuda_runtime/memory.cpp
  cuda_runtime/streams.cpp cuda_runtime/virtual_memory.cpp)
add_library(folio_simt STATIC EXCLUDE_FROM_ALL)
add_library(folio_simt_unchecked STATIC EXCLUDE_FROM_ALL)
set(sources_of_folio_simt ${sources} runtime/arena.cpp runtime/shadow.cpp runtime/instrumentation.cpp)
set(sources_of_folio_simt_unchecked ${sources} runtime/heap.cpp)
foreach(library folio_simt folio_simt_unchecked)
  list(TRANSFORM sources_of_${library} PREPEND ${folio_simt_dir}/simt/ OUTPUT_VARIABLE sources)
  target_sources(${library} PRIVATE ${sources})
  set_target_properties(${library} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  foreach(unit runtime cuda_runtime)
    set(of_unit ${sources})
    list(FILTER of_unit INCLUDE REGEX "/simt/${unit}/")
    set_source_files_properties(${of_unit} TARGET_DIRECTORY ${library} PROPERTIES UNITY_GROUP ${unit})
  endforeach()
  target_compile_features(${library} PUBLIC cxx_std_20)
  target_include_directories(${library} PUBLIC ${folio_simt_dir} PRIVATE ${folio_simt_dir}/simt/cuda_runtime)
  target_link_libraries(${library} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  # Without optimization kernels run several times as long, and with -O1 a third longer.
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${library} PRIVATE $<$<OR:$<CONFIG:Debug>,$<CONFIG:>>:-O2>)
  endif()
endforeach()
# It defines memcpy, so it must not be compiled as if it knew what memcpy is.
set_source_files_properties(${folio_simt_dir}/simt/runtime/instrumentation.cpp TARGET_DIRECTORY folio_simt
  PROPERTIES COMPILE_OPTIONS -fno-builtin)

# The thread sanitizer's instrumentation without its library: the linker must not hear of it. Copies must be calls, not
# inlined, where the compiler does not instrument the inlined ones; a read stays seen when a write follows it; and
# volatile accesses are told apart.
set(instrument -fsanitize=thread -U_FORTIFY_SOURCE)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND instrument "SHELL:-mllvm -tsan-instrument-read-before-write=1"
    "SHELL:-mllvm -tsan-distinguish-volatile=1")
else()
  list(APPEND instrument -fno-builtin-memcpy -fno-builtin-memmove -fno-builtin-memset -Wno-tsan
    --param=tsan-distinguish-volatile=1)
endif()
target_compile_options(folio_simt INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${instrument}>")

add_library(folio_simt_cuda INTERFACE)
target_include_directories(folio_simt_cuda INTERFACE ${folio_simt_dir}/simt/cuda_runtime)
target_link_options(folio_simt_cuda INTERFACE -rdynamic)  # so that messages can name kernels
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(folio_simt_cuda INTERFACE -Wno-psabi)  # notes that arguments as aligned as a CUtensorMap are new
endif()
add_library(folio_simt_program INTERFACE)
target_sources(folio_simt_program INTERFACE ${folio_simt_dir}/simt/cuda_runtime/at_exit.cpp)
target_link_libraries(folio_simt_program INTERFACE folio_simt_cuda)

foreach(name simt simt_unchecked simt_cuda simt_program)
  add_library(folio::${name} ALIAS folio_${name})
endforeach()
endblock()

# folio_simt_sources(<out> <source>...): the sources, with a .cpp in the place of each .cu, which includes it as nvcc
# includes cuda_runtime.h. So the same file may be a source for nvcc elsewhere.
function(folio_simt_sources out)
  set(sources)
  foreach(source IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH source NORMALIZE OUTPUT_VARIABLE path)
    if(path MATCHES "\\.cu$")
      string(SHA256 hash ${path})
      string(SUBSTRING ${hash} 0 8 hash)
      cmake_path(GET path STEM stem)
      set(wrapped ${CMAKE_CURRENT_BINARY_DIR}/folio_simt_sources/${stem}_${hash}.cpp)
      file(CONFIGURE OUTPUT ${wrapped} CONTENT "#include <cuda_runtime.h>\n\n#include \"${path}\"\n" @ONLY)
      set(path ${wrapped})
    endif()
    list(APPEND sources ${path})
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# folio_add_simt_executable(<target> <source>...): a whole CUDA program, written for nvcc but for <<<>>>, for the CPU.
function(folio_add_simt_executable target)
  folio_simt_sources(sources ${ARGN})
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE folio_simt folio_simt_program)
endfunction()
