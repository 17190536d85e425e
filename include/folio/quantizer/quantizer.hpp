// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How is an element stored? The contract that every quantizer meets. Host and device.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/config.hpp>
#include <folio/quantizer/row_format.hpp>
#include <type_traits>

namespace folio {

static_assert(std::endian::native == std::endian::little, "folio: stored rows are little-endian, as every GPU is");

/// The basis that decoded elements are in. `model`: as they were given. `hadamard`: rotated by `hadamard_rotate`, which
/// keeps dot products, so that a reader rotates its query once instead of each key, and its output once for the values.
/// `randomized_hadamard`: the same between two turns of fixed random signs (basis.hpp), for rows that a Hadamard matrix
/// alone would turn into spikes. Readers take the basis from the format's type, and rows are read by its name
/// (Row::load_in), so that no query in another is multiplied with them by mistake.
enum class Basis : std::uint8_t { model, hadamard, randomized_hadamard };

/// The longest row. Rows have a multiple of 8 elements, from 8 to this.
inline constexpr std::int32_t max_row_dim = 1024;

namespace detail {

/// What `params_dim` is wanted for: parameters that grow with the row are not read all at once. So a format that has
/// them and misspells it is none.
template <class Q>
consteval bool says_what_shares_parameters() {
  if constexpr (requires { Q::params_dim; })
    return Q::params_dim > 0 && Q::params_dim % 8 == 0;
  else
    return Q::param_bytes(8) == Q::param_bytes(max_row_dim);
}

}  // namespace detail

/// Quantizer policy: how is an element stored? A quantizer is stateless: every function is static, and runs on the host
/// and in kernels.
///
/// A row is the key or the value of one token in one head: `dim` floats. It is stored as a row of codes,
/// `dim * bits / 8` bytes, and apart from it a row of parameters (scales), `param_bytes(dim)` bytes, both
/// little-endian.
///
/// `encode(row, dim, codes, params)` writes exactly these bytes; where `basis` is not the model's it rotates, the
/// caller does not. `load_params(params, dim)` reads what `decode` needs for the elements from `dim` on: those of the
/// whole row, or, where the quantizer has a member `params_dim`, those up to the next multiple of it (one scale for
/// each group of elements). One whose `param_bytes` grow with the row has that member; it is a multiple of 8.
/// `decode<N>(codes, loaded, out)` gives N elements, N * bits of whole bytes, within one such group; `codes` points at
/// the first one's byte, aligned to `code_alignment(N * bits / 8)`. `params` is aligned to 4 bytes, `row` and `out` to
/// floats. Where a format has a cheaper way to halves than by floats, a second `decode<N>(codes, loaded, out)` gives
/// the same numbers rounded to Half. Encode and decode are pure. A row of finite numbers decodes to finite numbers:
/// what is too large saturates.
///
/// `row_format` says how the host's attention reads the rows: in place, or `{Elements::decoded}` (row_format.hpp).
// One clause per line, because nvcc points at the clause that fails.
// clang-format off
template <class Q>
concept QuantizerPolicy =
    std::is_empty_v<Q> && std::is_trivially_copyable_v<Q> &&
    requires { requires std::same_as<decltype(Q::name), char const* const>; } &&
    requires { requires std::same_as<decltype(Q::bits), int const>; } &&
    requires { requires Q::bits >= 1 && Q::bits <= 32; } &&
    requires { requires std::same_as<decltype(Q::basis), Basis const>; } &&
    requires { requires std::same_as<decltype(Q::row_format), RowFormat const>; } &&
    requires { requires std::is_trivially_copyable_v<typename Q::Params>; } &&
    requires { requires std::same_as<decltype(Q::param_bytes(128)), std::int32_t>; } &&
    requires { requires Q::param_bytes(128) >= 0 && Q::param_bytes(128) % 4 == 0; } &&
    requires { requires detail::says_what_shares_parameters<Q>(); } &&
    requires(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
      { Q::encode(row, dim, codes, params) } -> std::same_as<void>;
    } &&
    requires(std::byte const* params, std::int32_t dim) {
      { Q::load_params(params, dim) } -> std::same_as<typename Q::Params>;
    } &&
    requires(std::byte const* codes, typename Q::Params const& params, float* out) {
      { Q::template decode<8>(codes, params, out) } -> std::same_as<void>;
    };
// clang-format on

/// The parameters of a row or of a group of its elements, as `Params` of the library's formats and in kernels that fold
/// them into sums: element = scale * number, the number that the code stands for (an integer, an fp8 or fp4 number).
struct RowScale {
  float scale;
};
/// element = scale * integer + offset, the integer from 0 to 2^bits - 1: the offset is the value of code 0.
struct RowScaleAndOffset {
  float scale, offset;
};

/// How many elements share what one `load_params` reads: `Q::params_dim` where Q has it, else the whole row.
template <QuantizerPolicy Q>
inline constexpr std::int32_t params_dim = [] {
  if constexpr (requires { Q::params_dim; })
    return std::int32_t{Q::params_dim};
  else
    return max_row_dim;
}();

/// Whether Q encodes whole tiles, the rows of one head in one block together: see TileQuantizer in
/// detail/token_tile_format.hpp. The parameters are the tile's, `Q::tile_param_bytes(dim)` bytes for each head, and
/// rows have none of their own.
template <class Q>
inline constexpr bool is_tile_format = requires {
  Q::tile_tokens;
};

/// Bytes of the codes of `dim` elements, without any padding of the row.
template <QuantizerPolicy Q>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t code_bytes(std::int32_t dim) {
  if constexpr (8 % Q::bits == 0)  // a shift: `dim` is not negative, which a compiler does not know
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(dim) / (8 / Q::bits));
  else
    return dim * Q::bits / 8;
}

/// What an element of a row of `dim` costs in all: codes and parameters, in bits.
template <QuantizerPolicy Q>
[[nodiscard]] constexpr double bits_per_element(std::int32_t dim) {
  if constexpr (is_tile_format<Q>)
    return 8.0 * (code_bytes<Q>(dim) + 1.0 * Q::tile_param_bytes(dim) / Q::tile_tokens) / dim;
  else
    return 8.0 * (code_bytes<Q>(dim) + Q::param_bytes(dim)) / dim;
}

[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t common_divisor(std::int32_t a, std::int32_t b) {
  return b == 0 ? a : common_divisor(b, a % b);
}

/// The alignment that `decode` may rely on for `bytes` of codes: the largest power of two that divides it, 16 at most.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::size_t code_alignment(int bytes) {
  return static_cast<std::size_t>((bytes | 16) & -(bytes | 16));
}

/// N numbers on their way between memory and registers: stored codes, or elements. Aligned for the widest loads and
/// stores that its size allows.
template <class T, int N>
struct alignas(code_alignment(static_cast<int>(sizeof(T)) * N)) Pack {
  T v[static_cast<std::size_t>(N)];
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr T operator[](int i) const { return v[i]; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr T& operator[](int i) { return v[i]; }
};

/// Cooperative encoding: a quantizer whose rows several threads encode together, as kernels do.
///
/// `encode_by(lanes, part, codes, params)`, a template of N: lane r of `lanes` holds elements [r * N, (r + 1) * N) of
/// the row in `part`, and gets their codes.
/// - `part`: Pack<float, N>. N is 4 up to a dim of 128, 8 up to 256, 16 up to 512 and 32 above; at least 8 where `bits`
///   is odd. After the row's end, where lanes.active() is false: zeros.
/// - `codes`: Pack<std::uint8_t, N * bits / 8>, in the order of `encode`.
/// - `params`: the row's param_bytes(dim) bytes, the same address in all lanes. Each byte is written by one lane.
/// - `lanes`: rank(), active(), dim(), exchange(value, distance) with the lane whose rank differs by that bit, and max,
///   min and sum of a std::int32_t over all lanes. Every lane makes every call.
/// The result is encode's, bit by bit.
template <class Q, class Lanes>
concept CooperativeQuantizer = QuantizerPolicy<Q> &&
    requires(Lanes const& lanes, Pack<float, 8> const& part, Pack<std::uint8_t, Q::bits>& codes, std::byte* params) {
  { Q::encode_by(lanes, part, codes, params) } -> std::same_as<void>;
};

/// Reads N codes: in a kernel by as few loads as their alignment allows.
template <class T, int N>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<T, N> load_codes(std::byte const* from) {
  using Codes = Pack<T, N>;
#if defined(__CUDA_ARCH__)
  // What an assumption about the address leaves in the code costs registers in loops; a typed access does not.
  return *reinterpret_cast<Codes const*>(from);
#else
  Codes codes;
  std::memcpy(&codes, __builtin_assume_aligned(from, alignof(Codes)), sizeof(codes));
  return codes;
#endif
}

/// Writes N codes to any address.
template <class T, int N>
FOLIO_HOST_DEVICE void store_codes(Pack<T, N> const& codes, std::byte* to) {
  std::memcpy(to, &codes, sizeof(codes));
}

/// Reads a parameter of at most 4 bytes. It is aligned to its own size.
template <class T>
[[nodiscard]] FOLIO_HOST_DEVICE T load_param(std::byte const* params) {
  return load_codes<T, 1>(params)[0];
}

/// Writes N parameters, together at most 16 bytes: in a kernel by one store. They are aligned to their size.
template <class T, int N = 1>
FOLIO_HOST_DEVICE void store_params(Pack<T, N> const& values, std::byte* params) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<Pack<T, N>*>(params) = values;
#else
  std::memcpy(params, &values, sizeof(values));
#endif
}

/// Calls `f.operator()<N>(begin)` for the parts [begin, begin + N) of a row: N is 32, and 8 for what is left.
/// Loops whose length is a constant of 32 vectorize at -O2 and fill the registers; shorter ones do not.
template <class F>
FOLIO_HOST_DEVICE constexpr void for_each_part(std::int32_t begin, std::int32_t end, F const& f) {
  for (; begin + 32 <= end; begin += 32) f.template operator()<32>(begin);
  for (; begin < end; begin += 8) f.template operator()<8>(begin);
}

/// Decodes the whole row of `dim` elements; `codes` is aligned to 16 bytes. In the quantizer's basis, as `decode` is.
template <QuantizerPolicy Q>
FOLIO_HOST_DEVICE void decode_row(std::byte const* codes, std::byte const* params, std::int32_t dim, float* out) {
  for (std::int32_t group = 0; group < dim; group += params_dim<Q>) {
    typename Q::Params const loaded = Q::load_params(params, group);
    std::int32_t const end = dim - group < params_dim<Q> ? dim : group + params_dim<Q>;
    for_each_part(group, end, [&]<int N>(std::int32_t begin) {
      Q::template decode<N>(codes + code_bytes<Q>(begin), loaded, out + begin);
    });
  }
}

}  // namespace folio
