// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a test steers the stand-in for the CUDA runtime (cuda_runtime/), and what it may ask of it. See docs/simt.md.

#include <cstdint>
#include <string>
#include <vector>

namespace simt {

/// From now on what is queued runs in an order drawn with this seed, and so do the threads of kernels; 0: in the order
/// in which it was issued, when the host waits, and not before. Sets the counters below to 0. Forgets what is queued
/// and was not waited for.
void streams(std::uint64_t seed);

/// How often the host waited for the device: the three synchronizing calls, cudaMemcpy from or to host memory,
/// asynchronous copies to pageable memory, cudaFree, cudaFreeHost. Whether there was anything to wait for does not
/// matter.
std::int64_t num_host_waits() noexcept;
/// Copies and kernels given to a stream, those in replayed graphs included. To the device: from host memory.
std::int64_t num_copies_to_device() noexcept;
std::int64_t num_copies_to_host() noexcept;
std::int64_t num_launches() noexcept;
/// Kernels whose first launch in the program was captured into a graph: CUDA would have to load them in the capture.
std::int64_t num_first_launches_in_captures() noexcept;
/// Copies of these that were of pageable memory, which CUDA may make a wait of.
std::int64_t num_pageable_copies() noexcept;

/// Lets the call of that name fail with the code (of cudaError or CUresult) once, and do nothing: the next one, or the
/// one after `calls_before` more. The name "" is every call but those that ask for errors.
void fail_next(std::string const& call, int code, std::int64_t calls_before = 0);
/// Takes that back. True when no call had failed yet.
bool forget_failure();

/// What was made and never freed, one phrase each: memory, streams, events, graphs, pools, mappings.
std::vector<std::string> leaks();

}  // namespace simt
