# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# folio::numa: links libnuma and defines FOLIO_NUMA, with which folio.hpp includes NumaAllocator. There is no such target
# where libnuma is not found. Used by the build and by the installed package (find_package(folio COMPONENTS numa)).

find_path(FOLIO_NUMA_INCLUDE_DIR numa.h)
find_library(FOLIO_NUMA_LIBRARY numa)
mark_as_advanced(FOLIO_NUMA_INCLUDE_DIR FOLIO_NUMA_LIBRARY)

if(FOLIO_NUMA_INCLUDE_DIR AND FOLIO_NUMA_LIBRARY AND NOT TARGET folio::numa)
  add_library(folio::numa INTERFACE IMPORTED GLOBAL)
  target_include_directories(folio::numa INTERFACE ${FOLIO_NUMA_INCLUDE_DIR})
  target_compile_definitions(folio::numa INTERFACE FOLIO_NUMA=1)
  target_link_libraries(folio::numa INTERFACE folio::folio ${FOLIO_NUMA_LIBRARY})
endif()
