// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What most CUDA users need: folio.hpp, device memory, steps on the device, and the device's operations but those that
// need CUB (ops/top_k.cuh). A file with kernels of your own needs folio/view.hpp only.

// clang-format off
#include <folio/folio.hpp>
#include <folio/cuda_runtime.cuh>         // CUDA's calls, checked
#include <folio/allocator/device.cuh>     // where do a block's bytes come from?
#include <folio/allocator/functions.hpp>
#include <folio/allocator/managed.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/allocator/virtual.cuh>
#include <folio/device_batch.cuh>         // one step's tables, on the device
#include <folio/ops/append.cuh>           // bulk work on blocks
#include <folio/ops/gather.cuh>
#include <folio/ops/copy_blocks.cuh>
#include <folio/ops/copy_pieces.cuh>
#include <folio/ops/copy_rows.cuh>
#include <folio/ops/swap.cuh>
#include <folio/ops/attend.cuh>
#include <folio/ops/prefill.cuh>
#include <folio/ops/reposition.cuh>
#include <folio/ops/requantize.cuh>
#include <folio/ops/scores.cuh>
#include <folio/ops/key_norms.cuh>
#include <folio/ops/compact.cuh>
// clang-format on
