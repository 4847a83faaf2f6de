// tests/softnpu/programs/acl_check.h: what the host programs share. They do without the C++
// library, which the compiler of the tests would have to build first.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "acl/acl.h"

// Ends the program with ACL's message when a call fails.
#define CHECK_ACL(call)                                                       \
  do {                                                                        \
    const aclError code = call;                                               \
    if (code != ACL_SUCCESS) {                                                \
      fprintf(stderr, "%s gave %d: %s\n", #call, code, aclGetRecentErrMsg()); \
      return 1;                                                               \
    }                                                                         \
  } while (0)
