// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What most programs on the host need, in the order in which a token meets it. What few need is included by its own
// name, as docs/quickstart.md lists: every eviction policy but LRU, tenants and named prompts, caches of more than one
// format, formats of tiles, retention, blocks held ahead, planning, locking.

// clang-format off
#include <folio/version.hpp>              // which release this is
#include <folio/error.hpp>                // what goes wrong, as types with facts
#include <folio/model.hpp>                // what is cached: layers, heads, dims, groups of layers
#include <folio/models.hpp>               // the same for published models
#include <folio/block.hpp>                // the vocabulary: BlockId, Slot, SequenceId
#include <folio/allocator/host.hpp>       // where do a block's bytes come from?
#include <folio/allocator/huge_page.hpp>
#if defined(FOLIO_NUMA)
#include <folio/allocator/numa.hpp>
#endif
#include <folio/block_pool.hpp>           // who owns which block?
#include <folio/sequence.hpp>             // a sequence: extend, fork, truncate
#include <folio/quantizer/f32.hpp>        // how is an element stored?
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/fp4.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/iq4_nl.hpp>
#include <folio/layout/hnd.hpp>           // where in a block is it?
#include <folio/layout/nhd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nz.hpp>
#include <folio/view.hpp>                 // what does a kernel read?
#include <folio/batch.hpp>                // one step's tables
#include <folio/ops/append.hpp>           // bulk work on blocks
#include <folio/ops/gather.hpp>
#include <folio/ops/copy_blocks.hpp>
#include <folio/ops/attend.hpp>
#include <folio/ops/merge_attention.hpp>
#include <folio/ops/reposition.hpp>
#include <folio/ops/requantize.hpp>
#include <folio/observe/stats.hpp>        // what happened?
#include <folio/capacity.hpp>             // how many bytes, how many blocks
#include <folio/kv_cache.hpp>             // the owner: ties the rooms together
// clang-format on
