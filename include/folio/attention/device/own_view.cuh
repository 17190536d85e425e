// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The step's own tokens, whose keys and values are the caller's, as attention's kernels read a cache: so that these
// kernels are theirs, too. Device code.

#include <cstddef>
#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/visible.cuh>
#include <folio/attention/own_tokens.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/view.hpp>
#include <type_traits>

namespace folio::ops::detail {

/// The format whose codes are elements of T.
template <class T>
using FormatOf =
    std::conditional_t<std::is_same_v<T, Half>, F16, std::conditional_t<std::is_same_v<T, BFloat16>, BF16, F32>>;

/// Own tokens' rows of a layer, [query token][kv head][dim], as blocks of one token: a block's id is its row. Device
/// memory; strides are in elements, and rows begin at multiples of 16 bytes.
template <class View, int Group, class T>
class OwnLayer {
 public:
  using Types = LayerView<View, Group>;

  __device__ OwnLayer(GroupShape const& shape, T const* k, T const* v, std::int64_t k_stride, std::int64_t v_stride)
      : shape_(shape), k_(k), v_(v), k_stride_(k_stride), v_stride_(v_stride) {}

  [[nodiscard]] __device__ auto key(BlockId row, std::int32_t head, std::int32_t) const {
    return make_row<typename Types::KeyRow>(k_ + to_int(row) * k_stride_ + std::int64_t{head} * shape_.key_dim);
  }
  [[nodiscard]] __device__ auto value(BlockId row, std::int32_t head, std::int32_t slot) const {
    if constexpr (Types::known.values_in_keys())
      return key(row, head, slot);
    else
      return make_row<typename Types::ValueRow>(v_ + to_int(row) * v_stride_ + std::int64_t{head} * shape_.value_dim);
  }

 private:
  template <class AnyRow>
  [[nodiscard]] __device__ static AnyRow make_row(T const* elements) {
    return AnyRow(reinterpret_cast<std::byte*>(const_cast<T*>(elements)), {}, nullptr, 0, 0);  // nobody writes to it
  }

  GroupShape shape_;
  T const *k_, *v_;
  std::int64_t k_stride_, v_stride_;
};

/// A sequence of which the last tokens, those of the step, are read from the caller's rows, and no others. What it
/// tells of the sequence, and how tokens are numbered, is as ever.
template <class View, class Stored, int Group, class T>
class OwnSequence : public Stored {
 public:
  /// `first_row`: of the step, that of its first query.
  __device__ OwnSequence(Stored const& stored, OwnLayer<View, Group, T> const& layer, std::int32_t first_row)
      : Stored(stored), layer_(layer), first_row_(first_row - stored.first_query()) {}

  [[nodiscard]] __device__ auto const& layer() const { return layer_; }
  void blocks() const = delete;  // would be those of what is stored
  [[nodiscard]] __device__ BlockId block_id(std::int32_t token) const { return BlockId{first_row_ + token}; }
  [[nodiscard]] __device__ auto key(std::int32_t head, std::int32_t token) const {
    return layer_.key(block_id(token), head, 0);
  }
  [[nodiscard]] __device__ auto value(std::int32_t head, std::int32_t token) const {
    return layer_.value(block_id(token), head, 0);
  }

 private:
  OwnLayer<View, Group, T> layer_;
  std::int32_t first_row_;  // where token 0 would be
};

/// A step's view in which sequences have their own tokens alone, in rows of T.
template <class View, class T>
struct OwnView : View {
  template <int>
  using KeyQuantizerIn = FormatOf<T>;
  template <int>
  using ValueQuantizerIn = FormatOf<T>;
  using Layout = LayoutHnd;

  template <class Out>
  OwnView(View const& view, AttentionIo<T, Out> const& io)
      : View(view), k(io.k), v(io.v), k_stride(io.k_stride), v_stride(io.v_stride) {}

  template <int Group>
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr GroupShape static_shape() {
    GroupShape shape = View::template static_shape<Group>();
    shape.block_size = 1;
    return shape;
  }
  template <int Group>
  [[nodiscard]] __device__ auto sequence_in(std::int32_t i, std::int32_t index) const {
    auto const stored = View::template sequence_in<Group>(i, index);
    OwnLayer<OwnView, Group, T> const layer(stored.shape(), k, v, k_stride, v_stride);
    return OwnSequence<OwnView, std::remove_const_t<decltype(stored)>, Group, T>(stored, layer, this->query_start(i));
  }

  T const *k, *v;
  std::int64_t k_stride, v_stride;
};

template <class View>
inline constexpr bool is_own_view = false;
template <class View, class T>
inline constexpr bool is_own_view<OwnView<View, T>> = true;

/// The tokens of a sequence that a kernel takes from a view in a layer group, whatever its queries see of them: of the
/// range that is asked for the own ones, or where these are given those before them, or all. `first_row`: of the step,
/// that of its first query.
template <class View, class Sequence, class Arguments>
[[nodiscard]] __device__ TokenRange tokens_in(View const& view, std::int32_t group, Sequence const& sequence,
                                              std::int32_t first_row, Arguments const& arguments) {
  TokenRange tokens{larger(arguments.params.token_begin, 0), arguments.params.token_end};
  if (arguments.io.k == nullptr) return tokens;
  std::int32_t const first =
      first_own_token(view.group(group), sequence.num_tokens(), sequence.num_query_tokens(), first_row);
  if constexpr (!is_own_view<View>)
    tokens.end = smaller(tokens.end, first);
  else if (first != no_own_tokens)
    tokens.begin = larger(tokens.begin, first);
  else
    tokens = {};
  return tokens;
}

}  // namespace folio::ops::detail
