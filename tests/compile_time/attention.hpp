// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The attention of one model. measure.cmake takes the time of what comes on top of it: further_attention.hpp.
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/ops/attend.hpp>
#include <folio/quantizer/f16.hpp>

namespace compile_time {

using namespace folio;
inline constexpr ModelConfig llama{.layers = 32, .kv_heads = 8, .head_dim = 128};
inline constexpr ModelConfig hybrid{.layers = 3,
                                    .kv_heads = 2,
                                    .head_dim = 64,
                                    .groups = {full_attention(), sliding_window(128), latent(64, 32)},
                                    .pattern = repeat_groups({0, 1, 2})};
template <ModelConfig const& config, class Layout>
using View = BlockTableView<Model<config>, BlockSize<16>, F16, F16, Layout>;

}  // namespace compile_time

template void folio::ops::attend(compile_time::View<compile_time::llama, folio::LayoutHnd> const&, std::int32_t,
                                 folio::AttentionIo<float> const&, folio::AttentionParams const&,
                                 folio::HostExecution const&);
