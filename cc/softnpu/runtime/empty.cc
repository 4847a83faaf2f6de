// cc/softnpu/runtime/empty.cc: a library that exists because programs ask for it by name.
namespace {}
