// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The model of examples/serve by two threads, over a cache in f16: the shape of SmolLM2-135M with random f16 weights, a
// prompt of 512 tokens at once, and one token after that. Up to the logits of the last token. Steps are serve's, with
// own tokens exact as by default: the prompt meets itself as it was computed, and the cache has the tokens before a
// step.
//
// Prefill. Limit: multiplications; `fraction_of_peak` is the share of the threads' fused multiply-adds in registers.
// Decode. Limit: a step reads each weight and each earlier key and value once; `fraction_of_bandwidth` is the share of
// what the same threads reach when they only read. Limits are measured before and after each benchmark, times are
// medians.
//
// Beside Hugging Face's transformers on the CPU, in f32 and with as many threads, where Python has it: one round of
// that after each of ours, and `ratio_to_transformers` is how many times as long it takes. FOLIO_PYTHON names the
// interpreter; by default python3.

#include <benchmark/benchmark.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <caches/host_steps.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <model/llama.hpp>
#include <string>

#include "peak_flops.hpp"
#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int64_t hidden = 576, intermediate = 1536, heads = 9, kv_heads = 3, dim = 64, layers = 30, vocab = 49152;
constexpr std::int64_t layer_weights = hidden * dim * 2 * (heads + kv_heads) + 3 * hidden * intermediate;
constexpr std::int64_t used_weights = layers * layer_weights + hidden * vocab;  // the embedding is the output, too
constexpr std::int32_t prompt_tokens = 512;
using Cache = KvCache<Model<ModelConfig{.kv_heads = kv_heads, .head_dim = dim}>, BlockSize<16>, F16>;

constexpr int num_threads = 2;
ThreadPool& threads() {
  static ThreadPool pool(num_threads);
  return pool;
}

/// A model directory, which goes with it: normal weights of a size that keeps activations of the size 1.
class ModelFolder {
 public:
  ModelFolder() : path_(std::filesystem::temp_directory_path() / ("folio_serve_bench_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
    std::ofstream(path_ / "config.json")
        << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": )" << hidden
        << R"(, "intermediate_size": )" << intermediate << R"(, "num_hidden_layers": )" << layers
        << R"(, "num_attention_heads": )" << heads << R"(, "num_key_value_heads": )" << kv_heads
        << R"(, "vocab_size": )" << vocab << R"(, "max_position_embeddings": 8192, "tie_word_embeddings": true})";
    add("model.embed_tokens.weight", vocab, hidden);
    add("model.norm.weight", hidden);
    for (int l = 0; l < layers; ++l) {
      std::string const layer = "model.layers." + std::to_string(l) + ".";
      add(layer + "input_layernorm.weight", hidden);
      add(layer + "post_attention_layernorm.weight", hidden);
      add(layer + "self_attn.q_proj.weight", heads * dim, hidden);
      add(layer + "self_attn.k_proj.weight", kv_heads * dim, hidden);
      add(layer + "self_attn.v_proj.weight", kv_heads * dim, hidden);
      add(layer + "self_attn.o_proj.weight", hidden, heads * dim);
      add(layer + "mlp.gate_proj.weight", intermediate, hidden);
      add(layer + "mlp.up_proj.weight", intermediate, hidden);
      add(layer + "mlp.down_proj.weight", hidden, intermediate);
    }
    write();
  }
  ModelFolder(ModelFolder const&) = delete;
  ModelFolder& operator=(ModelFolder const&) = delete;
  ~ModelFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path const& path() const { return path_; }

 private:
  void add(std::string const& name, std::int64_t rows, std::int64_t cols = 0) {
    std::int64_t const end = size_ + rows * std::max<std::int64_t>(cols, 1) * 2;
    header_ += (header_.empty() ? "\"" : ", \"") + name + R"(": {"dtype": "F16", "shape": [)" + std::to_string(rows) +
               (cols > 0 ? ", " + std::to_string(cols) : "") + R"(], "data_offsets": [)" + std::to_string(size_) +
               ", " + std::to_string(end) + "]}";
    size_ = end;
  }
  void write() {
    std::string header = "{" + header_ + "}";
    header.resize((header.size() + 8 + 63) / 64 * 64 - 8, ' ');  // with its length of 8 bytes whole lines
    std::uint64_t const length = header.size();
    std::ofstream file(path_ / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<char const*>(&length), sizeof(length));
    file << header;
    std::vector<float> const normal = random_floats(1 << 20);
    std::vector<std::uint16_t> some;
    for (float const x : normal) some.push_back(f32_to_f16(x / 24));  // 1 / sqrt(hidden)
    for (std::int64_t at = 0; at < size_; at += std::ssize(some) * 2)
      file.write(reinterpret_cast<char const*>(some.data()), std::min<std::int64_t>(std::ssize(some) * 2, size_ - at));
    if (!file.flush()) throw Error("folio: " + path_.string() + " cannot be written");
  }

  std::filesystem::path path_;
  std::string header_;
  std::int64_t size_ = 0;
};

ModelFolder const& folder() {
  static ModelFolder const written;
  return written;
}
serve::Llama const& model() {
  static serve::Llama const loaded{folder().path()};
  return loaded;
}

/// transformers_steps.py as a process, which takes a step whenever it is asked.
class Transformers {
 public:
  struct Seconds {
    double prefill = 0, decode = 0;
  };
  Transformers() {
    std::array<int, 2> to{}, from{};
    if (pipe(to.data()) != 0 || pipe(from.data()) != 0) throw Error("folio: there is no pipe to transformers");
    char const* const python = std::getenv("FOLIO_PYTHON");
    std::string const interpreter = python != nullptr ? python : "python3", path = folder().path().string(),
                      tokens = std::to_string(prompt_tokens), count = std::to_string(num_threads);
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (int const end : {to[0], to[1], from[0], from[1]}) close(end);
      execlp(interpreter.c_str(), interpreter.c_str(), FOLIO_BENCH_PEERS "/transformers_steps.py", path.c_str(),
             tokens.c_str(), count.c_str(), nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    ask_ = fdopen(to[1], "w");
    answer_ = fdopen(from[0], "r");
    std::string const first = line();
    is_there_ = first == "ready\n";
    if (!is_there_) std::fprintf(stderr, "no transformers: %s\n", first.empty() ? "no Python" : first.c_str());
  }
  Transformers(Transformers const&) = delete;
  Transformers& operator=(Transformers const&) = delete;
  ~Transformers() {
    std::fclose(ask_);  // so that it ends
    std::fclose(answer_);
    waitpid(child_, nullptr, 0);
  }

  [[nodiscard]] bool is_there() const { return is_there_; }
  [[nodiscard]] Seconds round() {
    std::fputs("\n", ask_);
    std::fflush(ask_);
    Seconds seconds;
    if (std::sscanf(line().c_str(), "%lf %lf", &seconds.prefill, &seconds.decode) != 2)
      throw Error("folio: transformers_steps.py ended");
    return seconds;
  }

 private:
  [[nodiscard]] std::string line() {
    std::array<char, 1024> text{};
    return std::fgets(text.data(), static_cast<int>(text.size()), answer_) != nullptr ? text.data() : "";
  }

  pid_t child_ = -1;
  std::FILE *ask_ = nullptr, *answer_ = nullptr;
  bool is_there_ = false;
};

Transformers& transformers() {
  static Transformers peer;
  return peer;
}

/// One sequence and the model's steps over it.
class Run {
 public:
  Run() : cache_(CacheConfig{.num_blocks = {blocks_for(2 * prompt_tokens, 16)}, .layers = layers}) {}

  /// The next `num_tokens` tokens, up to the logits of the last; returns the seconds.
  double step(std::int32_t num_tokens) {
    auto const start = Clock::now();
    std::vector<std::int32_t> tokens, positions;
    for (std::int32_t i = 0; i < num_tokens; ++i) {
      positions.push_back(sequence_.num_tokens() + i);
      tokens.push_back(positions.back() * 89 % static_cast<std::int32_t>(vocab));
    }
    sequence_.extend(num_tokens);
    BatchItem const items[] = {BatchItem(&sequence_)};
    steps_.begin(items);
    auto const attend = [&](std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
      steps_.attend(layer, q, k, v, out);
    };
    model().forward(tokens, positions, attend, activations_, &threads());
    std::int64_t const last = num_tokens - 1;
    model().logits({&last, 1}, activations_, logits_, &threads());
    benchmark::DoNotOptimize(logits_.data());
    return seconds_since(start);
  }
  void restart() {
    sequence_.release();
    sequence_ = cache_.create();
  }

 private:
  Cache cache_;
  serve::HostSteps<Cache> steps_{cache_, heads, serve::OwnTokens::exact, &threads()};
  Sequence sequence_ = cache_.create();
  serve::Activations activations_;
  std::vector<float> logits_;
};

void prefill(benchmark::State& state) {
  Run run;
  double peak = peak_flops(threads());
  std::vector<double> seconds, theirs;
  if (transformers().is_there()) static_cast<void>(transformers().round());
  for (auto _ : state) {
    run.restart();
    seconds.push_back(run.step(prompt_tokens));
    state.SetIterationTime(seconds.back());
    if (transformers().is_there()) theirs.push_back(transformers().round().prefill);
  }
  peak = std::max(peak, peak_flops(threads()));
  double const attention = 4.0 * dim * heads * layers * (0.5 * prompt_tokens * (prompt_tokens + 1.0));
  double const flops =
      (2.0 * layers * layer_weights * prompt_tokens + 2.0 * hidden * vocab + attention) / median(seconds);
  state.counters["tokens_per_second"] = prompt_tokens / median(seconds);
  state.counters["flops_per_second"] = flops;
  state.counters["peak_flops"] = peak;
  state.counters["fraction_of_peak"] = flops / peak;
  if (!theirs.empty()) state.counters["ratio_to_transformers"] = median(theirs) / median(seconds);
}

void decode(benchmark::State& state) {
  Run run;
  run.step(prompt_tokens);
  double limit = read_bandwidth(threads());
  std::vector<double> seconds, theirs;
  for (auto _ : state) {
    seconds.push_back(run.step(1));
    state.SetIterationTime(seconds.back());
    if (transformers().is_there() && seconds.size() % 10 == 0) theirs.push_back(transformers().round().decode);
  }
  limit = std::max(limit, read_bandwidth(threads()));
  double const tokens = prompt_tokens + 0.5 * (static_cast<double>(seconds.size()) - 1);  // in the middle of the run
  double const bytes = 2.0 * used_weights + 2 * 2 * kv_heads * dim * layers * tokens;
  state.counters["tokens_per_second"] = 1 / median(seconds);
  state.counters["bytes_per_second"] = bytes / median(seconds);
  state.counters["read_bandwidth"] = limit;
  state.counters["fraction_of_bandwidth"] = bytes / median(seconds) / limit;
  if (!theirs.empty()) state.counters["ratio_to_transformers"] = median(theirs) / median(seconds);
}

BENCHMARK(prefill)->Name("prefill/f16/512")->Unit(benchmark::kMillisecond)->Iterations(5)->UseManualTime();
BENCHMARK(decode)->Name("decode/f16/512")->Unit(benchmark::kMillisecond)->Iterations(50)->UseManualTime();

}  // namespace
