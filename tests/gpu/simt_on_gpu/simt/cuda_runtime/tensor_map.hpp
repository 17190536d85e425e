// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// On a GPU the driver makes tensor maps and TMA reads them: there is no second reader to compare it with.

#include <cuda.h>

namespace simt {

inline constexpr bool reads_tensor_maps = false;

template <class... Coordinates>
__device__ void tensor_map_load(CUtensorMap const&, void*, Coordinates...) {}

}  // namespace simt
