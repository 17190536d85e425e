// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prefill attention on the device: many query tokens, prompts, whole or in chunks.

#include <cstdint>
#include <folio/attention/device/execution.cuh>
#include <folio/attention/device/prefill_kernel.cuh>
#include <folio/attention/params.hpp>
#include <folio/kernels/with_group.hpp>

namespace folio::ops {

/// Prefill attention: ops::attend for many query tokens, prompts, whole or in chunks, of any number of sequences. Its
/// arguments and results; of `execution` it takes the stream only. Latent layers too where rows are short enough for
/// shared memory, of a dim of at most 496; others do not compile. For few query tokens of a sequence decode is faster:
/// it splits contexts.
///
/// Asynchronous on the stream. Throws as attend does, and launches nothing then.
template <class View, class T, class Out>
void prefill(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
             AttentionParams const& params = {}, DeviceExecution const& execution = {}) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    static_assert(
        detail::prefill_fits<View, group()>,
        "folio: ops::prefill keeps queries and keys in shared memory, which holds rows of up to 496 elements; "
        "take ops::decode, or ops::attend, which chooses, for longer ones, such as latents");
    detail::launch_prefill<View, group()>(plain, index, io, params, execution.stream);
  });
}

}  // namespace folio::ops
