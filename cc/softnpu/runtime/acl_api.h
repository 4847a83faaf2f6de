// cc/softnpu/runtime/acl_api.h: what the files of exported ACL functions share.
#pragma once

#include <string>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/acl_abi.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu {

// The object of a pointer argument. Throws Error 107000 with the argument's name when it is null.
template <typename T>
T& Required(T* pointer, const char* name) {
  if (pointer == nullptr)
    throw Error(kRtParamInvalid, std::string("the argument '") + name + "' is null");
  return *pointer;
}

// For calls that need a working device: throws the error of this thread's device, if it has one.
inline void RequireWorkingDevice() {
  if (CurrentDeviceIndex() >= 0) CurrentDevice().error().Raise();
}

}  // namespace softnpu
