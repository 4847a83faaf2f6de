// cc/softnpu/runtime/ipc.h: device memory and events that processes of one user share by key.
//
// A key has 64 hexadecimal digits: the name of a socket of the process that made it, and a token.
// Whoever imports it connects there, and gets the files of the memory or of the event. The
// connection stays open as long as memory is imported: through it, both sides know whether the
// other one still has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/softnpu/runtime/memory.h"
#include "cc/softnpu/runtime/shared_event.h"

namespace softnpu {

inline constexpr size_t kKeyDigits = 64;

// The key of [address, address + bytes), which lies in one allocation. `any_process`: also those
// that AllowImport does not name. Throws Error.
std::string ExportMemory(const void* address, size_t bytes, bool any_process);
// Throws Error 107000 unless this process has made the key.
void AllowImport(const std::string& key, const std::vector<int32_t>& processes);
// The memory behind a key of another process, as memory of `device`. Throws Error: 107000 for what
// is no key, or is imported already; 507022 when the other side refuses, has freed the memory, or
// has ended.
void* ImportMemory(const std::string& key, int device);
// Ends an export, which nobody may have imported any more, or an import. Throws Error.
void CloseMemory(const std::string& key);
// An allocation ends, and what was exported of it: who has imported it cannot use it from now on.
void EndExportsOf(const Allocation& allocation, int device);

std::string ExportEvent(const std::shared_ptr<SharedEvent>& event);
// Throws Error as ImportMemory does.
std::shared_ptr<SharedEvent> ImportEvent(const std::string& key);

}  // namespace softnpu
