// cc/kernels/rotary/qkv_common.h: what the parts of qkv_rmsnorm_rope share. Device code.
#pragma once

#include "cc/kernels/rotary/angles.h"
#include "cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h"
#include "cc/kernels/rotary/row_ops.h"

namespace rotary {

// Where everything is in GM; addresses of absent tensors are not used.
struct QkvTensors {
  GM_ADDR positions;
  GM_ADDR qkv;
  GM_ADDR q_weight;
  GM_ADDR k_weight;
  GM_ADDR q_bias;
  GM_ADDR k_bias;
  GM_ADDR cos;
  GM_ADDR sin;
  GM_ADDR sums;
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR gate;
};

// Rows [row, row + rows) of tokens [token, token + tokens). A tile is some tokens with all their
// rows, or some rows of one token.
struct Tile {
  int64_t token;
  int64_t tokens;
  int64_t row;
  int64_t rows;
};

// The rows of a side (0 query, 1 key, 2 value) in a tile: `rows` of them, not more than 0 when
// there is none; the first one is row `of_side` of the side and row `of_tile` of the tile.
struct SideRows {
  int64_t rows;
  int64_t of_side;
  int64_t of_tile;
};
__aicore__ inline SideRows SideRowsOf(const QkvRmsnormRopeTiling& tiling, const Tile& tile,
                                      int64_t side) {
  const int64_t begin = side == 0 ? 0 : tiling.heads + (side - 1) * tiling.kv_heads;
  const int64_t end = tiling.heads + side * tiling.kv_heads;
  const int64_t first = Max(begin, tile.row);
  return {Min(end, tile.row + tile.rows) - first, first - begin, first - tile.row};
}

}  // namespace rotary
