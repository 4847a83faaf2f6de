// cc/softnpu/ascendc/include/simt_api/asc_simt.h: refused by name.
#pragma once

#error "SIMT is for chips from the 950 on; it is not supported by SoftNPU"
