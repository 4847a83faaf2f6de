// cc/ops/operator.cc: the list of all operators, in the order of their names.
#include "cc/ops/operator.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

namespace vllm_cann::ops {
namespace {

// Filled while the program is loaded, which one thread does; read from then on.
std::vector<const Operator*>& List() {
  static auto* list = new std::vector<const Operator*>;
  return *list;
}

bool IsBefore(const Operator* declared, std::string_view name) { return declared->name < name; }

}  // namespace

bool Register(Operator declared) {
  std::vector<const Operator*>& list = List();
  const std::string_view name = declared.name;
  const auto place = std::lower_bound(list.begin(), list.end(), name, IsBefore);
  if (place != list.end() && (*place)->name == name) {
    throw std::logic_error("two operators have the name " + std::string(name));
  }
  list.insert(place, std::make_unique<Operator>(std::move(declared)).release());
  return true;
}

const std::vector<const Operator*>& AllOperators() { return List(); }

const Operator& FindOperator(std::string_view name) {
  const std::vector<const Operator*>& list = List();
  const auto place = std::lower_bound(list.begin(), list.end(), name, IsBefore);
  if (place == list.end() || (*place)->name != name) {
    Refuse("there is no operator '" + std::string(name) + "'");
  }
  return **place;
}

}  // namespace vllm_cann::ops
