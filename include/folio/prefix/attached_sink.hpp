// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sinks that come to an index of prefixes and leave it while it runs. Host only.

#include <folio/prefix/events.hpp>

namespace folio {

/// A sink of whatever type, as the list of those that are attached has it.
class AttachedSink {
 public:
  AttachedSink() = default;
  AttachedSink(AttachedSink const&) = delete;
  AttachedSink& operator=(AttachedSink const&) = delete;

  virtual void inserted(PrefixInserted const& event) noexcept = 0;
  virtual void time_set(double now) noexcept = 0;

 protected:
  ~AttachedSink() = default;

 private:
  friend class AttachedSinks;
  AttachedSink *next_ = nullptr, *previous_ = nullptr;
};

/// The sinks that are attached to an index: they hear in the order in which they came, at the end of an operation, and
/// may pin and unpin then, and no more. Not thread-safe. Attaching allocates nothing.
class AttachedSinks {
 public:
  void attach(AttachedSink& sink) noexcept {
    sink.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &sink;
    last_ = &sink;
  }
  void detach(AttachedSink& sink) noexcept {
    (sink.previous_ != nullptr ? sink.previous_->next_ : first_) = sink.next_;
    (sink.next_ != nullptr ? sink.next_->previous_ : last_) = sink.previous_;
  }

  void inserted(PrefixInserted const& event) noexcept {
    for (AttachedSink* sink = first_; sink != nullptr; sink = sink->next_) sink->inserted(event);
  }
  void time_set(double now) noexcept {
    for (AttachedSink* sink = first_; sink != nullptr; sink = sink->next_) sink->time_set(now);
  }

 private:
  AttachedSink *first_ = nullptr, *last_ = nullptr;
};

/// While it lives, `sink` hears `inserted` and `time_set` of an index, of which its type hears what it says. Both
/// outlive it. Who hears other events is given to the index's type, so that what nobody hears costs nothing.
template <class Sink>
class SinkAttachment final : private AttachedSink {
 public:
  SinkAttachment(AttachedSinks& all, Sink& sink) noexcept : all_(all), sink_(sink) {
    static_assert(EventSink<Sink>);
    static_assert(!hears<Sink>(PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::cleared |
                               PrefixEvents::looked_up | PrefixEvents::evicting),
                  "folio: a sink that is attached while an index runs hears `inserted` and `time_set`; give one that "
                  "hears more to the cache, as a policy");
    all_.attach(*this);
  }
  ~SinkAttachment() { all_.detach(*this); }

 private:
  void inserted(PrefixInserted const& event) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::inserted)) sink_.inserted(event);
  }
  void time_set([[maybe_unused]] double now) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::time_set)) sink_.time_set(now);
  }

  AttachedSinks& all_;
  Sink& sink_;
};

}  // namespace folio
