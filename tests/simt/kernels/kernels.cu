// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels of the runner's tests are kernels for nvcc too. Nothing here runs.
#include "simt/kernels/kernels.cuh"
#include "simt/kernels/planted.cuh"
#include "simt/kernels/words.cuh"

template __global__ void kernels::transpose<float>(float const*, int, int, float*);

namespace planted {

template __global__ void reverse<Bug::none>(int const*, int*);
template __global__ void smooth<Bug::none>(int*, int);
template __global__ void fill_slots<Bug::none>(float*, int, int);
template __global__ void differences<Bug::none>(int const*, int*);
template __global__ void count_warps<Bug::none>(int*);
template __global__ void barrier_in_branch<Bug::none>(int*);
template __global__ void early_exit<Bug::none>(int const*, int, int*);
template __global__ void shuffle_in_branch<Bug::none>(int*);
template __global__ void shuffle_in_both_branches<Bug::none>(int*);
template __global__ void shuffle_from_inactive<Bug::none>(int*);
template __global__ void pass_on<Bug::none>(int*);
template __global__ void table<Bug::none>(int*);
template __global__ void fill_parts<Bug::none>(int*, int);
template __global__ void last_block_reads<Bug::none>(int*, unsigned*, int*);
template __global__ void count<Bug::none>(unsigned*);
template __global__ void scores<Bug::none>(signed char const*, float const*, float const*, int, float*);
template __global__ void sums_of_eight<Bug::none>(unsigned char const*, int*);
template __global__ void reverse_static<Bug::none, 64>(int const*, int*);
template __global__ void copy_rows<Bug::none, true>(Row const*, int, Row*);
template __global__ void copy_rows<Bug::none, false>(Row const*, int, Row*);

}  // namespace planted
