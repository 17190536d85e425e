// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include "asan.hpp"

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(SIMT_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define SIMT_UCONTEXT 1
#endif
#if defined(SIMT_UCONTEXT)
#include <ucontext.h>
#endif

namespace simt::detail {
namespace {

Fiber* running = nullptr;

// Where the address sanitizer believes the code outside of fibers to run.
void const* outside_stack = nullptr;
std::size_t outside_bytes = 0;

#if defined(SIMT_ASAN)
void before_switch(void** fake_stack, void const* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
}
void after_switch_out(void* fake_stack) { __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr); }
void after_switch_in(void* fake_stack) { __sanitizer_finish_switch_fiber(fake_stack, &outside_stack, &outside_bytes); }
#else
void before_switch(void**, void const*, std::size_t) {}
void after_switch_out(void*) {}
void after_switch_in(void*) {}
#endif

}  // namespace
}  // namespace simt::detail

#if defined(SIMT_UCONTEXT)

namespace simt::detail {
namespace {

ucontext_t outside;

void enter(void* context) { swapcontext(&outside, static_cast<ucontext_t*>(context)); }
void leave(void** context) { swapcontext(static_cast<ucontext_t*>(*context), &outside); }

void fill_context(ucontext_t* context, std::byte* stack, std::size_t bytes, void (*main)()) {
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = bytes;
  context->uc_link = nullptr;
  makecontext(context, main, 0);
}

void* make_context(void* old, std::byte* stack, std::size_t bytes, void (*main)()) {
  auto* const context = old != nullptr ? static_cast<ucontext_t*>(old) : new ucontext_t;
  fill_context(context, stack, bytes, main);
  return context;
}

void free_context(void* context) { delete static_cast<ucontext_t*>(context); }

}  // namespace
}  // namespace simt::detail

#else

// simt_switch(save, load): pushes what a called function must keep, stores the stack pointer to *save, takes the stack
// pointer `load`, and pops the same from there. The first time it "returns" to the address that make_context() left.
extern "C" void simt_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, . - simt_switch
)");
#else
asm(R"(
.text
.globl simt_switch
.type simt_switch, %function
simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size simt_switch, . - simt_switch
)");
#endif

namespace simt::detail {
namespace {

void* outside = nullptr;

void enter(void* context) { simt_switch(&outside, context); }
void leave(void** context) { simt_switch(context, outside); }

void* make_context(void*, std::byte* stack, std::size_t bytes, void (*main)()) {
#if defined(__x86_64__)
  constexpr std::size_t num_saved = 8;  // six registers, `main`, and what stands where main's return address would be
  constexpr std::size_t at_return_address = 6;
#else
  constexpr std::size_t num_saved = 20;
  constexpr std::size_t at_return_address = 11;  // x30
#endif
  auto** const context = reinterpret_cast<void**>(stack + bytes) - num_saved;
  std::fill_n(context, num_saved, nullptr);
  context[at_return_address] = reinterpret_cast<void*>(main);
  return context;
}

void free_context(void*) {}

}  // namespace
}  // namespace simt::detail

#endif

namespace simt::detail {

Fiber::~Fiber() {
  free_context(context_);
  auto const page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  if (stack_ != nullptr) munmap(stack_ - page, stack_bytes_ + page);
}

void Fiber::map(std::size_t stack_bytes) {
  auto const page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  if (stack_ != nullptr) munmap(stack_ - page, stack_bytes_ + page);
  stack_ = nullptr;
  stack_bytes_ = (stack_bytes + page - 1) / page * page;
  void* const memory =
      mmap(nullptr, stack_bytes_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);
  stack_ = static_cast<std::byte*>(memory) + page;
}

void Fiber::start(std::size_t stack_bytes, void (*entry)()) {
  if (stack_ == nullptr || stack_bytes_ < stack_bytes) {
    map(stack_bytes);
    at_rest_ = false;
  }
  entry_ = entry;
  if (!at_rest_) prepare();
}

void Fiber::prepare() {
#if defined(SIMT_ASAN)
  __asan_unpoison_memory_region(stack_, stack_bytes_);  // what a dropped call left
#endif
  context_ = make_context(context_, stack_, stack_bytes_, main);
  fake_stack_ = nullptr;
}

void Fiber::resume() {
  running = this;
  at_rest_ = false;
  void* fake_stack = nullptr;
  before_switch(&fake_stack, stack_, stack_bytes_);
  enter(context_);
  after_switch_out(fake_stack);
  running = nullptr;
}

void Fiber::suspend() {
  Fiber& self = *running;
  before_switch(&self.fake_stack_, outside_stack, outside_bytes);
  leave(&self.context_);
  after_switch_in(self.fake_stack_);
}

void Fiber::main() noexcept {
  after_switch_in(nullptr);
  for (;;) {
    running->entry_();
    running->at_rest_ = true;
    suspend();
  }
}

}  // namespace simt::detail
