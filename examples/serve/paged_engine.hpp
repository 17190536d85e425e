// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Continuous batching over a paged KV cache. Read PagedEngine::step() first: everything else is named there.
//
// Every step runs one batch through the model. A generation that is past its prompt contributes one token
// (decode), one that is still reading its prompt contributes a chunk of it (prefill), and new ones join whenever there
// are blocks for them: for the tokens that they know, and for as many as they are expected to generate, judged by those
// that have ended. These blocks are held ahead, so that nobody else takes them. Whoever has all its tokens in the cache
// draws the next one. When blocks run out all the same, the youngest generations give back first what they hold ahead;
// then the youngest gives all of its blocks back and waits. Later it computes its prompt and what it had generated
// again, in chunks, as if that were its prompt.
//
// After every step, whole blocks of what was computed are kept in the cache's tree of prefixes: others find them while
// their owner runs and after it has finished, and it does itself after it was preempted, as long as nobody needed the
// memory. So whoever comes in computes only what the cache does not have.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <folio/folio.hpp>
#include <folio/reservation.hpp>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cache_peak.hpp"
#include "caches/paged_cache.hpp"
#include "engine.hpp"
#include "finite.hpp"
#include "generation.hpp"
#include "model/llama.hpp"
#include "tenants.hpp"

namespace serve {

/// An engine over a paged cache, wherever its blocks are.
///
/// Order decides everything, no clock does: requests are older the earlier they stand in the file, and samples of one
/// request by their number. running_ is sorted by age, every waiting generation is younger than every running one, and
/// only younger ones are preempted. So the oldest always gets on, and since the cache holds at least the longest
/// request, everybody's turn to be the oldest comes.
class PagedEngine final : public Engine {
 public:
  PagedEngine(Llama const& model, std::vector<Tokens> const& prompts, EngineOptions const& options,
              std::unique_ptr<PagedCache> cache)
      : model_(model), prompts_(prompts), options_(options), cache_(std::move(cache)), sampler_(options.sampling) {}

  [[nodiscard]] StoredRows stored_rows() const override { return cache_->stored_rows(); }

  RunResult run(Observer& observer) override {
    begin();
    while (!running_.empty() || !waiting_.empty()) {
      step(observer);
      observer.on_step(progress());
    }
    folio::Stats const stats = cache_->stats();
    result_.device = cache_->device();
    result_.own_tokens = cache_->stored_rows().own_tokens;
    result_.forks = stats.counters.forks;
    result_.block_copies = stats.counters.copies;
    result_.evictions = stats.prefixes.evicted_blocks;
    result_.demoted_tokens = stats.counters.demoted_tokens;
    note_kept(*cache_, result_.tenants);
    result_.bytes_per_token = cache_->bytes_per_token();
    result_.memory_bytes = cache_->memory_bytes();
    result_.bytes_contiguous = static_cast<std::int64_t>(static_cast<double>(result_.peak_sequences) *
                                                         model_.config().context * result_.bytes_per_token);
    return std::move(result_);
  }

 private:
  using Item = std::unique_ptr<Generation>;

  /// What one generation computes in this step. Its slots are appended already.
  struct Work {
    Generation* generation;
    std::int32_t num_tokens;
  };

  void begin() {
    result_ = {};
    result_.tenants.resize(static_cast<std::size_t>(options_.tenants));
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      auto generation = std::make_unique<Generation>();
      generation->request = static_cast<std::int32_t>(i);
      generation->prompt_size = static_cast<std::int32_t>(prompts_[i].size());
      generation->forks_to_come = options_.samples - 1;
      generation->tokens = prompts_[i];
      result_.prompt_tokens += generation->prompt_size;
      tenant_of(*generation).prompt_tokens += generation->prompt_size;
      ++tenant_of(*generation).requests;
      waiting_.push_back(std::move(generation));
      result_.completions.emplace_back(options_.samples);
      result_.prompt_steps.emplace_back();
    }
    split_memory(*cache_, options_, result_.tenants);
  }

  TenantResult& tenant_of(Generation const& generation) {
    return result_.tenants[static_cast<std::size_t>(generation.tenant(options_))];
  }

  /// One batch through the model.
  void step(Observer& observer) {
    work_.clear();
    room_ = options_.batch_tokens;
    crowded_ = false;
    schedule_running(/*prefill=*/false);
    schedule_running(/*prefill=*/true);
    admit();
    peak_.note(*cache_, options_, running_, result_);
    compute();
    for (Work const& work : work_) cache_->demote(work.generation->sequence);
    keep_prefixes();
    draw(observer);
    std::erase_if(running_, [](Item const& item) { return item == nullptr; });
    ++result_.steps;
  }

  /// Appends slots for the pending tokens of running generations, oldest first, as far as the step has room.
  void schedule_running(bool prefill) {
    for (std::size_t i = 0; i < running_.size() && room_ > 0; ++i) {
      Generation& generation = *running_[i];
      if (generation.num_pending() == 0 || (generation.num_pending() > 1) != prefill) continue;
      std::int32_t const n = std::min(generation.num_pending(), room_);
      if (append_or_preempt(i, n)) schedule(generation, n);
    }
  }

  /// Takes blocks for n tokens of running_[i]: those that it holds ahead, free ones, those of its own tokens that are
  /// due to be demoted, or else those of younger generations, what they hold ahead before what they use. The youngest
  /// itself takes from nobody: it keeps what it has and tries again in the next step.
  bool append_or_preempt(std::size_t i, std::int32_t n) {
    while (!running_[i]->ahead.try_extend(running_[i]->sequence, n)) {
      // There were no blocks for that when it was due. Now there may be, and once nobody else runs there are.
      if (cache_->demote(running_[i]->sequence)) continue;
      crowded_ = true;
      if (running_.size() == 1) throw std::logic_error("One request alone does not fit its budget.");
      if (i + 1 == running_.size()) return false;
      if (!release_youngest_ahead(i)) preempt_youngest();
    }
    return true;
  }

  /// Lets go of what the youngest generation after running_[i] holds ahead. Whether there was any.
  bool release_youngest_ahead(std::size_t i) {
    std::size_t k = running_.size() - 1;
    while (k > i && running_[k]->bytes_ahead(cache_->budget()) == 0) --k;
    if (k == i) return false;
    running_[k]->ahead.release();
    return true;
  }

  /// Releases the youngest running generation's blocks and lets it wait at the front. It forgets nothing but keys and
  /// values, and finds of them again what is still kept then.
  void preempt_youngest() {
    Item youngest = std::move(running_.back());
    running_.pop_back();
    auto const scheduled =
        std::find_if(work_.begin(), work_.end(), [&](Work const& w) { return w.generation == youngest.get(); });
    if (scheduled != work_.end()) {
      room_ += scheduled->num_tokens;
      work_.erase(scheduled);
    }
    youngest->leave();
    waiting_.push_front(std::move(youngest));
    ++result_.preemptions;
  }

  /// Lets waiting generations in, oldest first, as long as blocks can be held ahead for all that they are expected to
  /// take. Whoever comes in can therefore read its prompt to the end, unless older ones outgrow the forecast meanwhile.
  /// What it finds it holds before blocks are counted. One beside which nobody runs comes in as it is.
  void admit() {
    while (!crowded_ && room_ > 0 && !waiting_.empty()) {
      Generation& next = *waiting_.front();
      next.sequence = options_.prefix ? cache_->create(next.tokens, next.tenant(options_)) : cache_->create();
      if (!hold_ahead(next) && !running_.empty()) return next.leave();
      next.num_kept = next.num_computed();
      note_found(next);
      running_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
      std::int32_t const n = std::min(next.num_pending(), room_);
      if (append_or_preempt(running_.size() - 1, n)) schedule(next, n);
    }
  }

  void note_found(Generation const& next) {
    std::int64_t const looked_up = options_.prefix ? static_cast<std::int64_t>(next.tokens.size()) : 0;
    result_.cached_tokens += next.num_computed();
    result_.looked_up_tokens += looked_up;
    tenant_of(next).cached_tokens += next.num_computed();
    tenant_of(next).looked_up_tokens += looked_up;
    note_found_steps(next);
  }

  /// Takes the steps that computed what a generation found in the cache: its own, if it has any, or those of the
  /// request whose prompt begins most like this one.
  void note_found_steps(Generation const& next) {
    std::int32_t const found = std::min(next.num_computed(), next.prompt_size);
    if (next.sample != 0) return;
    std::vector<std::int32_t>& steps = result_.prompt_steps[static_cast<std::size_t>(next.request)];
    std::ptrdiff_t most = 0;
    for (std::size_t i = 0; i < prompts_.size() && steps.empty() && found > 0; ++i) {
      if (result_.prompt_steps[i].empty()) continue;
      auto const& other = prompts_[i];
      auto const same = std::mismatch(other.begin(), other.end(), next.tokens.begin(), next.tokens.end()).first;
      if (same - other.begin() <= most) continue;
      most = same - other.begin();
      steps = result_.prompt_steps[i];
      if (most >= found) break;
    }
    std::erase_if(steps, [&](std::int32_t end) { return end >= found; });
    if (found > 0) steps.push_back(found);
  }

  /// Holds blocks for the tokens that a generation knows and has not computed, and for those that it and its forks are
  /// expected to generate: at most as many as they may, less the last, which is drawn and takes no slot. False when
  /// there are too few.
  bool hold_ahead(Generation& generation) {
    std::int32_t const most = std::max(0, options_.max_tokens - generation.num_generated() - 1);
    std::int64_t const expected = std::clamp(forecast_.further(generation.num_generated()) - 1, 0, most);
    std::int64_t const all_slots = cache_->budget().most_slots();
    std::int64_t const longest = std::numeric_limits<std::int32_t>::max() - generation.num_computed();
    std::int64_t const tokens = generation.num_pending() + expected * (generation.forks_to_come + std::int64_t{1});
    return generation.ahead.try_reserve(
        generation.sequence, static_cast<std::int32_t>(std::min({tokens, all_slots, longest})), options_.batch_tokens);
  }

  void schedule(Generation& generation, std::int32_t n) {
    work_.push_back({&generation, n});
    room_ -= n;
    std::vector<std::int32_t>& steps = result_.prompt_steps[static_cast<std::size_t>(generation.request)];
    std::int32_t const end = std::min(generation.num_computed(), generation.prompt_size);
    if (generation.sample == 0 && (steps.empty() || steps.back() < end)) steps.push_back(end);
  }

  /// Runs the step's tokens through the model. Their keys and values go into the slots that were appended for them.
  void compute() {
    std::vector<folio::BatchItem> items;
    Tokens tokens, positions;
    for (Work const& work : work_) {
      Generation const& generation = *work.generation;
      items.emplace_back(&generation.sequence);
      for (std::int32_t position = generation.num_computed() - work.num_tokens; position < generation.num_computed();
           ++position) {
        positions.push_back(position);
        tokens.push_back(generation.tokens[static_cast<std::size_t>(position)]);
      }
    }
    cache_->begin_step(items);
    auto const attention = [&](std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
      cache_->attend(layer, q, k, v, out);
    };
    model_.forward(tokens, positions, attention, activations_, options_.threads);
    if (!all_finite(activations_.hidden)) refuse_step();
    result_.computed_tokens += static_cast<std::int64_t>(tokens.size());
  }

  /// Some token's numbers are not finite: says whose.
  [[noreturn]] void refuse_step() const {
    auto const hidden = static_cast<std::size_t>(model_.config().hidden);
    std::span<float const> rows = activations_.hidden;
    for (Work const& work : work_) {
      auto const end = static_cast<std::size_t>(work.generation->num_computed());
      for (std::size_t i = end - static_cast<std::size_t>(work.num_tokens); i < end; ++i, rows = rows.subspan(hidden))
        if (!all_finite(rows.first(hidden))) refuse_numbers("numbers of", *work.generation, i + 1);
    }
    throw std::logic_error("All numbers of a step are finite.");
  }

  [[noreturn]] void refuse_numbers(std::string const& what, Generation const& generation, std::size_t token) const {
    throw BadInput("Request " + std::to_string(generation.request + 1) + ", sample " +
                   std::to_string(generation.sample + 1) + ": the " + what + " token " + std::to_string(token) +
                   " are not finite, " + why_not_finite(model_, std::span(generation.tokens).first(token)) + ".");
  }

  /// Leaves in the cache, for others, the blocks that this step has made whole.
  void keep_prefixes() {
    std::int32_t const block_size = cache_->budget().block_size();
    std::vector<folio::NamedSequence> grown;
    for (Work const& work : work_) {
      Generation& generation = *work.generation;
      std::int32_t const computed = generation.num_computed();
      if (!options_.prefix || computed / block_size == generation.num_kept / block_size) continue;
      grown.push_back({&generation.sequence,
                       std::span<std::int32_t const>(generation.tokens).first(static_cast<std::size_t>(computed))});
      generation.num_kept = computed;
    }
    cache_->keep(grown);
  }

  /// Draws the next token of every generation that has all its tokens in the cache.
  void draw(Observer& observer) {
    std::vector<std::int64_t> rows;
    std::vector<Generation*> drawing;
    std::int64_t row = -1;
    for (Work const& work : work_) {
      row += work.num_tokens;
      if (work.generation->num_pending() > 0) continue;
      rows.push_back(row);
      drawing.push_back(work.generation);
    }
    model_.logits(rows, activations_, logits_, options_.threads);
    auto const vocab = static_cast<std::size_t>(model_.config().vocab);
    for (std::size_t i = 0; i < drawing.size(); ++i) {
      std::span<float const> const logits = std::span<float const>(logits_).subspan(i * vocab, vocab);
      if (!all_finite(logits)) refuse_numbers("logits after", *drawing[i], drawing[i]->tokens.size());
      for (Generation* const sample : fork_samples(*drawing[i]))
        take(*sample, sampler_.draw(logits, index_of(*sample)), observer);
    }
  }

  /// The generation, and with its first token all samples of its request: they share the prompt's blocks and draw from
  /// the same logits.
  std::vector<Generation*> fork_samples(Generation& parent) {
    std::vector<Generation*> samples{&parent};
    auto at = std::find_if(running_.begin(), running_.end(), [&](Item const& item) { return item.get() == &parent; });
    for (; parent.forks_to_come > 0; --parent.forks_to_come) {
      auto child = std::make_unique<Generation>();
      child->request = parent.request;
      child->sample = static_cast<std::int32_t>(samples.size());
      child->prompt_size = parent.prompt_size;
      child->tokens = parent.tokens;
      child->sequence = parent.sequence.fork();
      child->num_kept = parent.num_kept;
      samples.push_back(child.get());
      at = running_.insert(at + 1, std::move(child));
    }
    if (samples.size() > 1)  // the parent held for all: now each holds its own part, as far as there is one
      for (Generation* const sample : samples) static_cast<void>(hold_ahead(*sample));
    return samples;
  }

  static DrawIndex index_of(Generation const& generation) {
    return {generation.request, generation.sample, generation.num_generated()};
  }

  /// Gives a generation its next token. With its last one it leaves, and its blocks are free, or kept for others.
  void take(Generation& generation, std::int32_t token, Observer& observer) {
    observer.on_token(index_of(generation), token);
    generation.tokens.push_back(token);
    ++result_.generated_tokens;
    ++tenant_of(generation).generated_tokens;
    auto const completion = std::span(generation.tokens).subspan(static_cast<std::size_t>(generation.prompt_size));
    bool const stopped = stops(options_, model_.config().stop_tokens, completion);
    if (!stopped && generation.num_generated() < options_.max_tokens) return;
    forecast_.ended(generation.num_generated());
    result_.completions[static_cast<std::size_t>(generation.request)][static_cast<std::size_t>(generation.sample)]
        .assign(generation.tokens.begin() + generation.prompt_size, generation.tokens.end());
    ++finished_;
    std::find_if(running_.begin(), running_.end(), [&](Item const& item) {
      return item.get() == &generation;
    })->reset();
  }

  [[nodiscard]] Progress progress() const {
    std::int64_t const samples = static_cast<std::int64_t>(prompts_.size()) * options_.samples;
    auto const running = static_cast<std::int64_t>(running_.size());
    return {result_.steps,
            result_.generated_tokens,
            running,
            samples - running - finished_,
            finished_,
            cache_->live_bytes(),
            cache_->kept_bytes(),
            cache_->budget().bytes()};
  }

  Llama const& model_;
  std::vector<Tokens> const& prompts_;
  EngineOptions options_;
  std::unique_ptr<PagedCache> cache_;
  Sampler sampler_;
  Activations activations_;
  std::vector<float> logits_;
  folio::GrowthForecast forecast_;  // of the tokens that a sample generates

  std::vector<Item> running_;  // oldest first
  std::deque<Item> waiting_;   // oldest first, all younger than the running ones
  std::vector<Work> work_;     // of this step
  std::int32_t room_ = 0;      // tokens that still fit into this step
  bool crowded_ = false;       // somebody got no blocks in this step
  std::int64_t finished_ = 0;
  CachePeak peak_;
  RunResult result_;
};

}  // namespace serve
