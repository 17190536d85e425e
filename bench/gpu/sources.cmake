# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# What gpu_bench is made of, for nvcc (CMakeLists.txt beside this file) and for the stand-in for the CUDA runtime (tests/).

set(gpu_bench_sources gpu_bench measure smoke_append smoke_attend smoke_moves figures_decode figures_moves)
list(TRANSFORM gpu_bench_sources REPLACE "(.+)" "${CMAKE_CURRENT_LIST_DIR}/\\1.cu")
