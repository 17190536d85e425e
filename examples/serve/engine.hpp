// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an engine is asked and what it answers. How it works is in paged_engine.hpp.

#include <algorithm>
#include <cstdint>
#include <folio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caches/stored_rows.hpp"
#include "sampler.hpp"

namespace serve {

class Llama;

/// One token after the other.
using Tokens = std::vector<std::int32_t>;

/// Where the blocks are, and where attention is computed. Automatic: on a GPU where there is one, else on the host.
enum class Device : std::uint8_t { automatic, host, cuda };

struct EngineOptions {
  Device device = Device::host;
  std::int64_t memory_bytes = 0;  ///< for the cache; 0: as much as all requests need at once, at most 1 GiB
  std::int32_t batch_tokens = 256;
  std::int32_t max_tokens = 128;
  std::int32_t samples = 1;
  bool prefix = true;                           ///< requests take what others computed of their opening
  std::int32_t tenants = 1;                     ///< request i is of tenant i % tenants
  std::int32_t sinks = 16, recent_window = 64;  ///< tokens that stay in the first format, where a cache demotes
  OwnTokens own_tokens = OwnTokens::exact;
  Sampling sampling;
  folio::ThreadPool* threads = nullptr;
  bool ignore_eos = false;  ///< the model's stop tokens are tokens as any other
  /// Whether a sample ends with the last token of what it has generated. A function of that alone; null: by no text.
  std::function<bool(std::span<std::int32_t const> completion)> stop = nullptr;
};

/// Whether a sample ends with this completion's last token, whatever the most tokens are.
[[nodiscard]] inline bool stops(EngineOptions const& options, Tokens const& stop_tokens,
                                std::span<std::int32_t const> completion) {
  bool const is_stop = std::find(stop_tokens.begin(), stop_tokens.end(), completion.back()) != stop_tokens.end();
  return (is_stop && !options.ignore_eos) || (options.stop && options.stop(completion));
}

/// Where a run stands.
struct Progress {
  std::int64_t steps = 0, generated_tokens = 0;
  std::int64_t running = 0, waiting = 0, finished = 0;  ///< samples; those that were not forked yet count as waiting
  /// Of blocks: that sequences hold, that are kept for later prompts by no sequence, and of all.
  std::int64_t live_bytes = 0, kept_bytes = 0, bytes = 0;
};

/// Looks on while an engine runs.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_token(DrawIndex index, std::int32_t token) = 0;
  virtual void on_step(Progress const& progress) = 0;
};

/// What a run did for one tenant.
struct TenantResult {
  std::int64_t requests = 0, prompt_tokens = 0, generated_tokens = 0;
  std::int64_t cached_tokens = 0, looked_up_tokens = 0;  ///< as RunResult's
  std::int64_t bytes_share = 0;  ///< its part of the cache: what it keeps for later prompts goes last up to there
  std::int64_t bytes_peak = 0;   ///< in blocks that its sequences had when the cache was fullest
  std::int64_t bytes_kept = 0;   ///< kept for later prompts at the end, by whoever stored it first
  [[nodiscard]] double hit_rate() const {
    return looked_up_tokens == 0 ? 0.0 : static_cast<double>(cached_tokens) / static_cast<double>(looked_up_tokens);
  }
};

/// What a run did.
struct RunResult {
  std::string device;                            ///< "host", or "cuda: " and the GPU's name
  OwnTokens own_tokens = OwnTokens::stored;      ///< how they were read; stored, too, where both are the same bits
  std::vector<std::vector<Tokens>> completions;  ///< [request][sample]
  /// [request] where the steps ended that computed its prompt, ascending: of what it found in the cache, those of the
  /// request that it has most in common with.
  std::vector<std::vector<std::int32_t>> prompt_steps;
  std::int64_t prompt_tokens = 0;  ///< of all prompts, each once
  std::int64_t generated_tokens = 0;
  std::int64_t computed_tokens = 0;  ///< that went through the model; more than needed when requests were preempted
  std::int64_t steps = 0, preemptions = 0, forks = 0, block_copies = 0;

  std::int64_t cached_tokens = 0;     ///< found in the cache by requests that were let in, for the first time or again
  std::int64_t looked_up_tokens = 0;  ///< all tokens that these requests had then
  std::int64_t evictions = 0;         ///< blocks that were kept for later prompts, and then no more
  [[nodiscard]] double hit_rate() const {
    return looked_up_tokens == 0 ? 0.0 : static_cast<double>(cached_tokens) / static_cast<double>(looked_up_tokens);
  }

  double bytes_per_token = 0;       ///< in the first format, until it is demoted
  double bits_per_element = 0;      ///< at the peak: of the tokens that sequences store, shared ones once; with scales
  std::int64_t demoted_tokens = 0;  ///< in all
  std::int64_t memory_bytes = 0;    ///< of the whole cache
  std::int64_t bytes_peak = 0;      ///< in blocks that sequences had at the step when they had most
  std::int64_t bytes_ahead = 0;     ///< the most that was held ahead of use at once, besides
  std::vector<TenantResult> tenants;
  std::int64_t bytes_contiguous = 0;  ///< peak_sequences * the model's context * bytes_per_token
  std::int64_t peak_sequences = 0;    ///< the most sequences that held blocks at once
  double waste = 0;                   ///< at the peak: empty slots, as a share of the slots held
  double waste_beyond_last_blocks =
      0;  ///< at the peak: slots held that are neither filled nor in a sequence's last block
};

/// Runs many requests at once. Made by make_engine.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Runs all of them to their end. To be called once. Deterministic: the same model, prompts, options and seed give
  /// the same tokens on the same device. Throws BadInput when a number of the model is NaN or infinite: the message
  /// names the request, the token, and the tensor or layer that it comes from.
  virtual RunResult run(Observer& observer) = 0;
  /// What the cache's formats make of rows.
  [[nodiscard]] virtual StoredRows stored_rows() const = 0;
};

/// An engine over a cache with the quantizer called `quantizer`. `model` and `prompts` must outlive it. Throws BadInput
/// for an unknown quantizer, a device that is not there, and a memory budget in which the longest request does not fit;
/// folio::NotBuilt for a head dim that no cache was compiled for.
[[nodiscard]] std::unique_ptr<Engine> make_engine(std::string_view quantizer, Llama const& model,
                                                  std::vector<Tokens> const& prompts, EngineOptions const& options);

}  // namespace serve
