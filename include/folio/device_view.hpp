// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A view whose tables and blocks the device reads. Host and device, without CUDA: only a type.

#include <folio/view.hpp>

namespace folio {

/// Device view: a BlockTableView with the promise that its tables are in device memory. Made by DeviceBatch::view().
///
/// Operations choose by it at compile time: those that take a stream want a DeviceView, those of the host refuse it.
/// Kernels take it by value as they take any view; the library's own take the plain View, so that they are compiled
/// once.
template <class View>
struct DeviceView : View {
  FOLIO_HOST_DEVICE explicit constexpr DeviceView(View const& view) : View(view) {}
};

template <class View>
inline constexpr bool is_device_view = false;
template <class View>
inline constexpr bool is_device_view<DeviceView<View>> = true;

/// What an operation of the host takes: one cache's view. For a DeviceView there is the operation in ops/*.cuh, which
/// takes a stream; for the view of a cache that demotes that in precision/mixed_ops.hpp.
template <class View>
concept HostReadableView = !is_device_view<View> && requires {
  typename View::KeyQuantizer;
};

}  // namespace folio
