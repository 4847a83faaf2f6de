// cc/softnpu/ascendc/include/acl/acl_base.h: a part of ACL; here it has all of it.
#pragma once

#include "acl/acl.h"
