// cc/softnpu/runtime/event_handle.h: what names an event in another process (aclrtIpcEventHandle).
#pragma once

namespace softnpu {

struct EventHandle {
  char text[64];  // hexadecimal digits, without a zero at the end
};

}  // namespace softnpu
