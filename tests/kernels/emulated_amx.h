// The instructions of AMX in C++, for processors without them.

thread_local TileShapes emulated_shapes = {};
thread_local uint32_t emulated_tiles[8][16][16];

INLINE void save_shapes(TileShapes* to) { *to = emulated_shapes; }
INLINE void set_shapes(const TileShapes& shapes) {
  emulated_shapes = shapes;
  std::memset(emulated_tiles, 0, sizeof emulated_tiles);
}
INLINE void release_tiles() { set_shapes({}); }

// A tile without a shape is an invalid instruction.
INLINE void expect_square(int tile) {
  if (emulated_shapes.palette != 1 || emulated_shapes.bytes[tile] != 64 ||
      emulated_shapes.rows[tile] != 16)
    __builtin_trap();
}

template <int tile>
INLINE void clear_tile() {
  expect_square(tile);
  std::memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile]);
}

template <int tile>
INLINE void load_tile(const void* from, int64_t row) {
  expect_square(tile);
  for (int i = 0; i < 16; i++) std::memcpy(emulated_tiles[tile][i], (uint32_t*)from + i * row, 64);
}

template <int tile>
INLINE void store_tile(void* to, int64_t row) {
  expect_square(tile);
  for (int i = 0; i < 16; i++) std::memcpy((uint32_t*)to + i * row, emulated_tiles[tile][i], 64);
}

// Fast within a build that is not.
__attribute__((noinline, optimize("O2"), no_sanitize("address", "undefined"))) void add_products(
    const uint32_t (&left)[16][16], const uint32_t (&right)[16][16], uint32_t (&sums)[16][16]) {
  const auto upper = [](uint32_t bits) {
    bits &= 0xffff0000;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  };
  for (int i = 0; i < 16; i++) {
    float row[16];
    std::memcpy(row, sums[i], sizeof row);
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < 16; j++)
        row[j] += upper(left[i][k] << 16) * upper(right[k][j] << 16) +
                  upper(left[i][k]) * upper(right[k][j]);
    std::memcpy(sums[i], row, sizeof row);
  }
}

template <int sum, int left, int right>
INLINE void multiply_tiles() {
  expect_square(sum), expect_square(left), expect_square(right);
  add_products(emulated_tiles[left], emulated_tiles[right], emulated_tiles[sum]);
}
