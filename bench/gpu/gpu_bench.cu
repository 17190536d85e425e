// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Does every operation on a GPU do what it does on the host, and how fast? Needs the CUDA runtime and nothing else.
//
//   gpu_bench [--deadline SECONDS] [--out FILE] [--only TEXT] [--list] [--tiny]
//
// Smoke tests come first, then figures, the most important first. Each is a job in a process of its own, so that a
// kernel that never ends or spoils the device costs nothing but its own lines, and each line of JSON is written as it
// comes. The first line tells of the GPU. Ends with 0 when all was right, 1 when something was wrong or was not reached
// before the deadline (480 seconds unless given), 77 where there is no GPU.
#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <folio/cuda_runtime.cuh>
#include <thread>

#include "jobs.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr int skipped = 77;  // what ctest takes for "skipped"

void describe_device(Run const& run) {
  cudaDeviceProp device{};
  check_cuda(cudaGetDeviceProperties(&device, 0), "asking for the device");
  auto const attribute = [](cudaDeviceAttr which) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, which, 0), "asking for the device");
    return value;
  };
  int driver = 0, runtime = 0;
  check_cuda(cudaDriverGetVersion(&driver), "asking for the driver");
  check_cuda(cudaRuntimeGetVersion(&runtime), "asking for the runtime");
  Line context("gpu_bench");
  context.add("gpu", device.name)
      .add("compute_capability", std::to_string(attribute(cudaDevAttrComputeCapabilityMajor)) + "." +
                                     std::to_string(attribute(cudaDevAttrComputeCapabilityMinor)))
      .add("multiprocessors", attribute(cudaDevAttrMultiProcessorCount))
      .add("memory_bytes", static_cast<std::int64_t>(device.totalGlobalMem))
      .add("l2_bytes", attribute(cudaDevAttrL2CacheSize))
      .add("cuda_driver", driver)
      .add("cuda_runtime", runtime)
      .add("num_cpus", static_cast<int>(std::thread::hardware_concurrency()));
  run.write("{\"context\": " + context.text() + "}");
}

/// The line of a job that did not do what it should.
void write_error(Run const& run, std::string const& name, std::string const& why) {
  run.write(Line(name).add("error_occurred", true).add("error_message", why));
}

/// What a job's process ends with.
int do_job(Job const& job, Run const& run) {
  try {
    if (std::string const why = no_cuda_device_because(); !why.empty()) {
      std::printf("SKIP: a GPU is needed: %s\n", why.c_str());
      return skipped;
    }
    job.work(run);
    return EXIT_SUCCESS;
  } catch (std::exception const& error) {
    write_error(run, job.name, error.what());
    return EXIT_FAILURE;
  }
}

/// Runs a job in a process of its own, which ends in time or is ended. This process never calls CUDA itself: its
/// children could not any more.
int run_job(Job const& job, Run run) {
  double const left = run.seconds_left(), seconds = run.tiny ? left : std::min(job.seconds, left);
  if (seconds <= 0) {
    write_error(run, job.name, "the deadline came first");
    return EXIT_FAILURE;
  }
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::fflush(nullptr);
  pid_t const child = fork();
  if (child < 0) throw std::runtime_error("no process could be made");
  if (child == 0) std::exit(do_job(job, run));
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      write_error(run, job.name, "did not end within " + std::to_string(static_cast<int>(seconds)) + " s");
      return EXIT_FAILURE;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  write_error(run, job.name, "was ended by signal " + std::to_string(WTERMSIG(status)));
  return EXIT_FAILURE;
}

struct Arguments {
  double deadline = 480;
  std::string out, only;
  bool list = false, tiny = false;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    std::string const name = argv[i];
    auto const value = [&]() -> std::string {
      if (i + 1 == argc) throw std::runtime_error(name + " needs a value");
      return argv[++i];
    };
    if (name == "--deadline")
      arguments.deadline = std::stod(value());
    else if (name == "--out")
      arguments.out = value();
    else if (name == "--only")
      arguments.only = value();
    else if (name == "--list")
      arguments.list = true;
    else if (name == "--tiny")
      arguments.tiny = true;
    else
      throw std::runtime_error("unknown argument " + name +
                               "; known are --deadline SECONDS, --out FILE, --only TEXT, --list and --tiny");
  }
  return arguments;
}

std::vector<Job> chosen_jobs(Arguments const& arguments) {
  std::vector<Job> all, jobs;
  add_append_smoke(all);
  add_attend_smoke(all);
  add_move_smoke(all);
  add_decode_figures(all);
  add_move_figures(all);
  add_prefill_figures(all);
  add_shape_figures(all);
  for (Job& job : all)
    if (job.name.find(arguments.only) != std::string::npos && (!arguments.tiny || job.in_tiny))
      jobs.push_back(std::move(job));
  return jobs;
}

int run_all(Arguments const& arguments) {
  auto const begin = std::chrono::steady_clock::now();
  Run run{.tiny = arguments.tiny, .file = -1, .deadline = {}};
  run.deadline =
      begin + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(arguments.deadline));
  if (!arguments.out.empty() &&
      (run.file = open(arguments.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644)) < 0)
    throw std::runtime_error("cannot write " + arguments.out);
  if (int const status = run_job({"device", 60, true, describe_device}, run); status != EXIT_SUCCESS) return status;
  std::vector<Job> const jobs = chosen_jobs(arguments);
  std::int64_t failed = 0;
  for (Job const& job : jobs) failed += run_job(job, run) == EXIT_SUCCESS ? 0 : 1;
  run.write(Line("summary")
                .add("jobs", static_cast<std::int64_t>(jobs.size()))
                .add("failed", failed)
                .add("seconds", arguments.deadline - run.seconds_left()));
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Arguments const arguments = parse(argc, argv);
    if (!arguments.list) return run_all(arguments);
    for (Job const& job : chosen_jobs(arguments)) std::printf("%s\n", job.name.c_str());
    return EXIT_SUCCESS;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
