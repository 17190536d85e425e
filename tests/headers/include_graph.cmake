# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# The walls of docs/architecture.md, read from the #include lines (conditions are ignored: an include counts always).
#
#   cmake [-DINCLUDE_DIR=<folder>] -P tests/headers/include_graph.cmake
#
# - no include cycle, and no chain of more than 10 headers, 12 with CUDA's
# - view.hpp reaches the device world only
# - a policy includes the vocabulary and its room's helpers, and no other policy
# - a room includes those before it in the order of data, and what is in no room nothing of bulk work
# - no .hpp includes CUDA, CUB, Thrust, cooperative groups or a .cuh
cmake_minimum_required(VERSION 3.25)

if(NOT INCLUDE_DIR)
  set(INCLUDE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../include)
endif()
set(max_depth 10)
set(device_world "^folio/((config|block|model|group_table|row|view)\\.hpp|(quantizer|layout)/.*)$")
set(policy "^folio/(allocator|eviction|quantizer|layout)/")
# The vocabulary and the containers, the rooms' contracts and detail/, and what a format or a rule of one's own is made of.
set(policy_may_include "^folio/((config|block|model|error)\\.hpp|cuda_runtime\\.cuh|containers/.*|[a-z]+/detail/.*\
|allocator/allocator\\.hpp|eviction/(eviction|ghost_keys|indexed_heap)\\.hpp|layout/(layout|block_map)\\.hpp\
|quantizer/(quantizer|basis|float_formats|hadamard|int_quantizer|packing|row_format|scaling)\\.hpp)$")
# A token meets the rooms in this order; what is in no room, folio/detail/ with it, is before `kernels`.
set(rooms containers quantizer layout eviction prefix observe kernels attention ops precision)
# block_map.hpp is not a policy: it joins the quantizers and the layout of one model for the view.
set(joins_policies "^folio/layout/block_map\\.hpp$")
set(cuda_include "^(cuda|cub|thrust|cooperative_groups|nv|nvtx3)[/_.]|^(cooperative_groups|cuda)$|\\.cuh$")

file(GLOB_RECURSE headers RELATIVE ${INCLUDE_DIR} ${INCLUDE_DIR}/folio/*.hpp ${INCLUDE_DIR}/folio/*.inl ${INCLUDE_DIR}/folio/*.cuh)
if(NOT headers)
  message(FATAL_ERROR "no headers under ${INCLUDE_DIR}/folio")
endif()

set(problems 0)
macro(problem text)
  math(EXPR problems "${problems} + 1")
  message(NOTICE "${text}")
endmacro()

foreach(header IN LISTS headers)
  file(STRINGS ${INCLUDE_DIR}/${header} lines REGEX "^[ \t]*#[ \t]*include")
  set(own)
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "include[ \t]*[<\"]([^>\"]+)[>\"]")
      problem("${header}: cannot read: ${line}")
      continue()
    endif()
    set(included ${CMAKE_MATCH_1})
    if(header MATCHES "\\.hpp$" AND included MATCHES "${cuda_include}")
      problem("${header} includes ${included}: a .hpp is ordinary C++; CUDA belongs into a .cuh")
    endif()
    if(line MATCHES "\"")
      problem("${header} includes \"${included}\": write <folio/...>, as a user would")
    elseif(included MATCHES "^folio/")
      if(NOT included IN_LIST headers)
        problem("${header} includes ${included}, which does not exist")
        continue()
      endif()
      list(APPEND own ${included})
      if(header MATCHES "${policy}" AND NOT header MATCHES "${joins_policies}" AND NOT included MATCHES "${policy_may_include}")
        problem("${header} includes ${included}: a policy includes the vocabulary and its room's helpers only")
      endif()
    endif()
  endforeach()
  set(includes_${header} ${own})
endforeach()

# Sets `out` to the number of a header's room in the order; -1 for an umbrella, for CUDA's headers in no room, and for allocators.
function(room_of header out)
  set(number -1)
  if(header MATCHES "^folio/([a-z]+)/" AND NOT CMAKE_MATCH_1 STREQUAL "detail")
    list(FIND rooms ${CMAKE_MATCH_1} number)
  elseif(header MATCHES "\\.hpp$" AND NOT header STREQUAL "folio/folio.hpp")
    list(FIND rooms kernels number)
    math(EXPR number "${number} - 1")
  endif()
  set(${out} ${number} PARENT_SCOPE)
endfunction()
foreach(header IN LISTS headers)
  room_of(${header} own)
  foreach(included IN LISTS includes_${header})
    if(own GREATER -1 AND included MATCHES "^folio/[a-z]+/" AND NOT included MATCHES "^folio/detail/")
      room_of(${included} theirs)
      if(theirs GREATER own)
        problem("${header} includes ${included}: a room stands on those before it")
      endif()
    endif()
  endforeach()
endforeach()

# Sets depth_<header>, the longest chain that starts at it, and reach_<header>, all that it includes in the end.
function(visit header path)
  if(DEFINED depth_${header})
    return()
  endif()
  if(header IN_LIST path)
    list(JOIN path " -> " chain)
    message(FATAL_ERROR "include cycle: ${chain} -> ${header}")
  endif()
  set(depth 0)
  set(reach)
  foreach(included IN LISTS includes_${header})
    visit(${included} "${path};${header}")
    if(depth_${included} GREATER depth)
      set(depth ${depth_${included}})
    endif()
    list(APPEND reach ${included} ${reach_${included}})
  endforeach()
  list(REMOVE_DUPLICATES reach)
  math(EXPR depth "${depth} + 1")
  # One scope up and here: the caller is another visit, which hands it on.
  set(depth_${header} ${depth} CACHE INTERNAL "")
  set(reach_${header} "${reach}" CACHE INTERNAL "")
endfunction()

set(deepest 0)
foreach(header IN LISTS headers)
  visit(${header} "")
  if(depth_${header} GREATER deepest)
    set(deepest ${depth_${header}})
  endif()
  set(limit ${max_depth})
  if(header MATCHES "\\.cuh$")
    math(EXPR limit "${limit} + 2")  # the CUDA layer lies on the host's
  endif()
  if(depth_${header} GREATER limit)
    problem("${header} is ${depth_${header}} headers deep; the limit is ${limit}")
  endif()
endforeach()

foreach(header IN LISTS reach_folio/view.hpp)
  if(NOT header MATCHES "${device_world}")
    problem("folio/view.hpp reaches ${header}, which is not of the device world")
  endif()
endforeach()

list(LENGTH headers count)
if(problems)
  message(FATAL_ERROR "include graph: ${problems} problems in ${count} headers")
endif()
message(STATUS "include graph: ${count} headers, at most ${deepest} deep, no problem")
