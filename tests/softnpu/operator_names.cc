// tests/softnpu/operator_names.cc: prints the names of the operators that are implemented, one a
// line.
#include <cstdio>

// The linker makes these two for the section in which ACLNN leaves each name.
extern "C" const char* const __start_softnpu_operators;  // NOLINT(bugprone-reserved-identifier)
extern "C" const char* const __stop_softnpu_operators;   // NOLINT(bugprone-reserved-identifier)

int main() {
  for (const char* const* name = &__start_softnpu_operators; name != &__stop_softnpu_operators;
       ++name) {
    std::puts(*name);
  }
  return 0;
}
