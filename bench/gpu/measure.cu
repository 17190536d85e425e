// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "measure.cuh"

#include <optional>

namespace folio::bench {

namespace {

/// Points in a stream whose distance in time can be asked.
class Events {
 public:
  explicit Events(std::size_t count) : events_(count) {
    for (cudaEvent_t& event : events_) check_cuda(cudaEventCreate(&event), "making an event");
  }
  Events(Events const&) = delete;
  Events& operator=(Events const&) = delete;
  ~Events() {
    for (cudaEvent_t const event : events_) cudaEventDestroy(event);
  }
  void record(std::size_t i, cudaStream_t stream) { check_cuda(cudaEventRecord(events_[i], stream), "timing"); }
  [[nodiscard]] double seconds_between(std::size_t i, std::size_t j) const {
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, events_[i], events_[j]), "timing");
    return milliseconds / 1e3;
  }

 private:
  std::vector<cudaEvent_t> events_;
};

/// Candidates that are ready to be sampled, and their samples, in seconds.
class Samples {
 public:
  Samples(std::vector<Candidate> const& candidates, cudaStream_t stream)
      : candidates_(candidates), stream_(stream), seconds_(candidates.size()) {
    for (Candidate const& candidate : candidates) {
      candidate.work(stream);  // loads the kernels
      check_cuda(cudaStreamSynchronize(stream), "running it once");
      std::optional<Graph>& graph = graphs_.emplace_back();
      if (candidate.captured) graph.emplace(stream, candidate.work);
    }
    take(2);
    for (auto& of_candidate : seconds_) of_candidate.clear();  // they warmed up
  }

  /// Takes `rounds` samples of each, all in the stream before the host waits: the device never waits for the host.
  void take(std::size_t rounds) {
    std::size_t const count = candidates_.size();
    Events events(rounds * count + 1);
    events.record(0, stream_);
    for (std::size_t i = 0; i < rounds * count; ++i) {
      if (graphs_[i % count])
        graphs_[i % count]->launch(stream_);
      else
        candidates_[i % count].work(stream_);
      events.record(i + 1, stream_);
    }
    check_cuda(cudaStreamSynchronize(stream_), "measuring");
    for (std::size_t i = 0; i < rounds * count; ++i)
      seconds_[i % count].push_back(events.seconds_between(i, i + 1) / candidates_[i % count].repeats);
  }

  /// Seconds that candidate `i` takes once, in each round.
  [[nodiscard]] std::vector<double> const& of(std::size_t i) const { return seconds_[i]; }

 private:
  std::vector<Candidate> const& candidates_;
  cudaStream_t stream_;
  std::vector<std::optional<Graph>> graphs_;
  std::vector<std::vector<double>> seconds_;
};

/// Until there are enough for a median, and then on for a while.
void sample(Run const& run, Samples& samples) {
  auto const begin = std::chrono::steady_clock::now();
  auto const seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  auto const least = static_cast<std::size_t>(least_samples(run));
  std::size_t const at_once = std::min<std::size_t>(least, 5);
  while (samples.of(0).size() < least || (!run.tiny && seconds() < 0.7 && samples.of(0).size() < 10 * least)) {
    if (run.seconds_left() < 0)
      throw std::runtime_error("the deadline came after " + std::to_string(samples.of(0).size()) + " of " +
                               std::to_string(least) + " samples");
    samples.take(at_once);
  }
}

/// The median over the rounds of the times of one divided by those of the other.
double ratio(std::vector<double> const& of, std::vector<double> const& to) {
  std::vector<double> ratios;
  for (std::size_t r = 0; r < of.size(); ++r) ratios.push_back(of[r] / to[r]);
  return quantile(ratios, 0.5);
}

/// What a line says of speeds beside the time.
void add_rates(Line& line, std::vector<Candidate> const& all, Samples const& samples, std::size_t i) {
  Candidate const& candidate = all[i];
  auto const rate_of = [&](std::size_t c) { return all[c].bytes / quantile(samples.of(c), 0.5); };
  double const limits[] = {rate_of(all.size() - 2), rate_of(all.size() - 1), rate_of(0)};
  if (candidate.bytes > 0) line.add("bytes", candidate.bytes).add("bytes_per_second", rate_of(i));
  if (candidate.bytes > 0 && candidate.limit != Limit::none)
    line.add("of_limit", rate_of(i) / limits[static_cast<std::size_t>(candidate.limit)]);
  if (candidate.flops > 0) line.add("flop_per_second", candidate.flops / quantile(samples.of(i), 0.5));
  for (std::size_t c = 0; c < all.size(); ++c)
    if (c != i && all[c].name == candidate.ratio_to)
      line.add("ratio_to", candidate.ratio_to).add("ratio", ratio(samples.of(c), samples.of(i)));
  line.add("read_bandwidth", limits[0]).add("copy_bandwidth", limits[1]);
}

/// Writes a candidate's line, and returns whether its result was right.
bool report(Run const& run, std::vector<Candidate> const& all, Samples const& samples, std::size_t i) {
  Candidate const& candidate = all[i];
  std::vector<double> const& seconds = samples.of(i);
  Line line(candidate.name);
  line.add("iterations", static_cast<std::int64_t>(seconds.size()))
      .add("real_time", quantile(seconds, 0.5) * 1e6)
      .add("time_unit", "us")
      .add("low_us", quantile(seconds, 0.1) * 1e6)
      .add("high_us", quantile(seconds, 0.9) * 1e6)
      .add("repeats", candidate.repeats);
  add_rates(line, all, samples, i);
  double const error = candidate.error ? candidate.error() : 0;
  if (candidate.error) line.add("error", error);
  bool const right = error <= candidate.tolerance;
  if (!right) line.add("error_occurred", true).add("error_message", "the result is wrong");
  run.write(line);
  return right;
}

}  // namespace

void measure_together(Run const& run, std::vector<Candidate> candidates, cudaStream_t stream) {
  Limits const limits(run, stream);
  std::size_t const count = candidates.size();
  candidates.push_back(limits.read());
  candidates.push_back(limits.copy());
  Samples samples(candidates, stream);
  sample(run, samples);
  std::string wrong;
  for (std::size_t i = 0; i < count; ++i)
    if (!report(run, candidates, samples, i)) wrong += " " + candidates[i].name;
  if (!wrong.empty()) throw std::runtime_error("wrong results of" + wrong);
}

}  // namespace folio::bench
