// cc/softnpu/base/signals_test.cc: a signal that is not ours reaches its owner and changes nothing.
#include "cc/softnpu/base/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace softnpu {
namespace {

struct sigaction g_before;
volatile sig_atomic_t g_ours = 0;
volatile sig_atomic_t g_theirs = 0;
volatile sig_atomic_t g_on_signal_stack = 0;

void Ours(int number, siginfo_t* info, void* context) {
  g_ours = g_ours + 1;
  stack_t now = {};
  sigaltstack(nullptr, &now);
  g_on_signal_stack = (now.ss_flags & SS_ONSTACK) != 0 ? 1 : 0;
  PassOn(number, info, context, g_before);
}

void Theirs(int) { g_theirs = g_theirs + 1; }

void Install(void (*before)(int)) {
  struct sigaction action = {};
  action.sa_handler = before;
  sigaction(SIGBUS, &action, nullptr);
  action = {};
  action.sa_sigaction = Ours;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGBUS, &action, &g_before);
  g_ours = 0;
  g_theirs = 0;
}

TEST(Signals, AForeignSignalLeavesOurHandlerInPlace) {
  Install(SIG_IGN);
  for (int i = 1; i <= 3; ++i) {
    raise(SIGBUS);
    EXPECT_EQ(g_ours, i);
  }
  Install(Theirs);
  for (int i = 1; i <= 3; ++i) {
    raise(SIGBUS);
    EXPECT_EQ(g_ours, i);
    EXPECT_EQ(g_theirs, i);
  }
}

TEST(SignalsDeathTest, WhatKillsByDefaultKills) {
  Install(SIG_DFL);
  EXPECT_EXIT(raise(SIGBUS), ::testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(kill(getpid(), SIGBUS), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(Signals, AThreadsHandlersRunOnAStackOfTheirOwn) {
  Install(SIG_IGN);
  std::thread([] {
    UseSignalStack();
    raise(SIGBUS);
  }).join();
  EXPECT_EQ(g_on_signal_stack, 1);
  // The stack went with its thread.
  std::thread([] {
    stack_t now = {};
    sigaltstack(nullptr, &now);
    EXPECT_NE(now.ss_flags & SS_DISABLE, 0);
  }).join();
}

}  // namespace
}  // namespace softnpu
