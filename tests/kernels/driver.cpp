// Calls every operator on memory of exactly the size that it may touch, for the sanitizers.
//
// Compiled with -DKERNELS=avx512_kernels and the like. With the argument "half", there is only
// what multiplies in bf16, with "bytes" what works on bytes; with "too-small", batches are gathered into blocks that are a byte too
// small: the sanitizers have to find that.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dispatch.h"

namespace {

int64_t calls = 0;

// A block of its own in the heap, of a size in bytes, with bytes that repeat from run to run.
class Block {
 public:
  explicit Block(int64_t bytes) : bytes_(new uint8_t[bytes]) {
    static uint32_t state = 1;
    for (int64_t k = 0; k < bytes; k++) bytes_[k] = (state = state * 1664525 + 1013904223) >> 24;
  }
  template <typename Value>
  Value* as() const {
    return reinterpret_cast<Value*>(bytes_.get());
  }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
};

// Numbers between -1 and 1 in fp32 or bf16.
Block volume(int64_t count, bool half) {
  Block block(count * (half ? 2 : 4));
  for (int64_t k = 0; k < count; k++) {
    const float value = float(rand() % 2001 - 1000) / 1000;
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (half) {
      block.as<uint16_t>()[k] = uint16_t(bits >> 16);
    } else {
      block.as<float>()[k] = value;
    }
  }
  return block;
}

struct Shape {
  int64_t images, height, width, channels;
  int64_t size() const { return images * height * width * channels; }
};

void call_norm(const Shape& shape, int pool, int activation, bool half, bool adds) {
  const int64_t c = shape.channels;
  const Shape after = {shape.images, shape.height / pool, shape.width / pool, c};
  if (!after.size()) return;
  Block x = volume(shape.size(), half), added = volume(after.size(), half);
  Block pooled = volume(after.size(), half), y = volume(after.size(), half);
  Block dy = volume(after.size(), half), dx = volume(shape.size(), half);
  Block dadded = volume(after.size(), half), places(after.size());
  Block sums = volume(shape.images * 2 * c, false), totals(2 * c * sizeof(double));
  Block by_channel[6] = {volume(c, false), volume(c, false), volume(c, false),
                         volume(c, false), volume(c, false), volume(c, false)};
  StriateNorm job = {};
  job.images = shape.images, job.height = shape.height, job.width = shape.width, job.channels = c;
  job.half = half, job.pool = pool, job.activation = activation, job.threads = 2;
  job.x = x.as<void>(), job.y = y.as<void>(), job.dy = dy.as<void>(), job.dx = dx.as<void>();
  job.pooled = pool == 2 ? pooled.as<void>() : x.as<void>();
  job.places = pool == 2 ? places.as<uint8_t>() : nullptr;
  job.added = adds ? added.as<void>() : nullptr;
  job.dadded = adds ? dadded.as<void>() : nullptr;
  job.sums = sums.as<float>(), job.totals = totals.as<double>();
  job.centre = by_channel[0].as<float>(), job.scale = by_channel[1].as<float>();
  job.shift = by_channel[2].as<float>(), job.a = by_channel[3].as<float>();
  job.b = by_channel[4].as<float>(), job.d = by_channel[5].as<float>();
  for (NormStep step : {NORM_SUMS, NORM_ACTIVATE, NORM_GRADIENT_SUMS, NORM_GRADIENT}) {
    KERNELS.norm(step, job);
    calls++;
  }
  if (pool == 2) {
    KERNELS.norm(NORM_INFER, job);
    calls++;
  }
}

struct Change {
  bool moves, warps, colours, squares;
};

void call_gather(const Shape& shape, const Change& change, bool half, int64_t missing) {
  const int64_t b = shape.images, c = shape.channels, stored = b + 2;
  Block x(stored * shape.size() / b), places(b * 8), down(b * 8), right(b * 8), mirrored(b);
  Block top(b * 8), left(b * 8), y(shape.size() * (half ? 2 : 4) - missing);
  Block table = volume(c * 256, half && !change.colours), matrices = volume(b * c * c, false);
  Block shares = volume(b, false), weights = volume(c, false), warps = volume(b * 6, false);
  Block scale = volume(c, false), shift = volume(c, false);
  for (int64_t image = 0; image < b; image++) {
    places.as<int64_t>()[image] = stored - 1 - image;
    down.as<int64_t>()[image] = image % 2 ? -2 * shape.height - 1 : 1;
    right.as<int64_t>()[image] = image % 2 ? 3 * shape.width + 2 : -1;
    mirrored.as<uint8_t>()[image] = image % 2;
    top.as<int64_t>()[image] = image % 2 ? -2 : shape.height - 1;
    left.as<int64_t>()[image] = image % 2 ? shape.width - 1 : -3;
    if (image % 3 == 0) {  // an upright one, which in wide images sees more than it has room for
      float* warp = warps.as<float>() + image * 6;
      warp[1] = warp[3] = 0;
      if (shape.width > 256) warp[0] = image % 2 ? 0.5f : 2.5f;
    }
  }
  StriateGather job = {};
  job.images = b, job.height = shape.height, job.width = shape.width, job.channels = c;
  job.half = half, job.threads = 2;
  job.x = x.as<uint8_t>(), job.places = places.as<int64_t>(), job.table = table.as<void>();
  if (change.moves) {
    job.down = down.as<int64_t>(), job.right = right.as<int64_t>();
    job.mirrored = mirrored.as<uint8_t>();
  }
  job.scale = scale.as<float>(), job.shift = shift.as<float>();
  if (change.warps) job.warps = warps.as<float>();
  if (change.colours) {
    job.matrices = matrices.as<float>(), job.shares = shares.as<float>();
    job.weights = weights.as<float>();
  }
  if (change.squares) job.side = 4, job.top = top.as<int64_t>(), job.left = left.as<int64_t>();
  job.y = y.as<void>();
  KERNELS.gather(job);
  calls++;
}

// Two layers, the second with a window of one pixel, forward and back.
void call_trunk(const Shape& shape, int64_t window, int pooling, int activation, bool keep) {
  const int64_t kernels[] = {5, 17}, windows[] = {window, 1};
  std::vector<Block> blocks;
  const auto floats = [&](int64_t count) {
    blocks.push_back(volume(count, false));
    return blocks.back().as<float>();
  };
  StriateLayer layers[2] = {};
  Shape now = shape;
  for (int place = 0; place < 2; place++) {
    StriateLayer& layer = layers[place];
    const int64_t side = windows[place], padding = side / 2;
    layer.channels = now.channels, layer.height = now.height, layer.width = now.width;
    layer.kernels = kernels[place], layer.kernel_height = layer.kernel_width = side;
    layer.pad_height = layer.pad_width = padding;
    layer.activation = activation, layer.pooling = place ? 0 : pooling;
    const int64_t strides[] = {now.channels * side * side, side * side, side, 1};
    std::memcpy(layer.weight_strides, strides, sizeof strides);
    layer.weight = floats(kernels[place] * strides[0]);
    layer.weight_gradient = floats(kernels[place] * strides[0]);
    layer.bias = place ? nullptr : floats(kernels[place]);
    layer.bias_gradient = place ? nullptr : floats(kernels[place]);
    const int64_t grown = 2 * padding - side + 1, share = layer.pooling ? 2 : 1;
    now = {now.images, (now.height + grown) / share, (now.width + grown) / share, kernels[place]};
  }
  StriateTrunk job = {};
  const int64_t sixteens = (shape.images + 15) / 16;
  job.images = shape.images, job.count = 2, job.layers = layers, job.channels_last = activation % 2;
  job.keep = keep, job.threads = int32_t(sixteens < 2 ? sixteens : 2);
  job.x = floats(shape.size()), job.y = floats(now.size()), job.dy = floats(now.size());
  int64_t kept, work;
  KERNELS.trunk_sizes(job, &kept, &work);
  job.kept = floats((keep ? sixteens : job.threads) * kept), job.work = floats(work);
  KERNELS.trunk(TRUNK_FORWARD, job);
  calls++;
  if (!keep) return;
  job.dx = pooling % 2 ? floats(shape.size()) : nullptr;
  KERNELS.trunk_sizes(job, &kept, &work);
  job.work = floats(work);
  KERNELS.trunk(TRUNK_BACK, job);
  calls++;
}

// A convolution of 3x3, with or without a pooling, its way back, and the gradient of its weights.
void call_winograd(const Shape& shape, int64_t kernels, int64_t pad, bool half, int32_t threads,
                   int32_t pool) {
  const int64_t height = shape.height + 2 * pad - 2, width = shape.width + 2 * pad - 2;
  if (height < pool || width < pool) return;
  const Shape after = {shape.images, height / pool, width / pool, kernels};
  Block x = volume(shape.size(), half), y = volume(after.size(), half);
  Block dx = volume(shape.size(), half), weights = volume(9 * kernels * shape.channels, false);
  Block gradient = volume(9 * kernels * shape.channels, false), bias = volume(kernels, false);
  StriateWinograd job = {shape.images, shape.height, shape.width, shape.channels, kernels, pad};
  job.half = half, job.threads = threads, job.pool = pool;
  Block places(after.size());
  job.places = pool == 2 ? places.as<uint8_t>() : nullptr;
  job.weight = weights.as<float>(), job.bias = bias.as<float>();
  job.x = x.as<void>(), job.y = y.as<void>(), job.dy = y.as<void>();
  job.weight_gradient = gradient.as<float>();
  int64_t panels, forward, weigh;
  KERNELS.winograd_sizes(job, &panels, &forward, &weigh);
  if (!panels) return;  // this processor does not multiply bf16
  const auto call = [&](WinogradStep step) {
    KERNELS.winograd_sizes(job, &panels, &forward, &weigh);
    Block room(panels * 4), work((step == WINOGRAD_WEIGHTS ? weigh : forward) * 4);
    job.panels = room.as<void>(), job.work = work.as<void>();
    KERNELS.winograd(step, job);
    calls++;
  };
  call(WINOGRAD_FORWARD);
  call(WINOGRAD_WEIGHTS);
  if (pool == 2) {  // as without gradients
    StriateWinograd kept = job;
    job.places = nullptr;
    call(WINOGRAD_FORWARD);
    job = kept;
  }
  StriateWinograd back = job;
  back.height = height, back.width = width, back.channels = kernels;
  back.kernels = shape.channels, back.pad = 2 - pad, back.turned = 1, back.bias = nullptr;
  back.x = y.as<void>(), back.y = dx.as<void>();
  job = back;
  call(WINOGRAD_FORWARD);
}

// Windows that overlap as much as can be, of pixels at both ends.
void call_resize(int64_t height, int64_t width, int64_t channels, int64_t pixel, int64_t rows,
                 int64_t columns, bool part) {
  const int64_t loaded = channels == 3 ? 4 : 16, sizes[] = {columns, rows};
  const int64_t whole[] = {width, height};
  std::vector<Block> blocks;
  const auto bytes = [&](int64_t count) {
    blocks.emplace_back(count);
    return blocks.back().as<uint8_t>();
  };
  StriateWindows windows[2];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t size = sizes[axis], reach = whole[axis] < 19 ? whole[axis] : 19;
    const int64_t most = axis ? reach : (reach + loaded - 1) / loaded * 32;
    const int32_t weight = (1 << 22) / int32_t(axis ? most : most / 32 * loaded);
    int64_t* first = (int64_t*)bytes(size * 8);
    int64_t* count = (int64_t*)bytes(size * 8);
    void* weights = bytes(size * most * (axis ? 4 : 2));
    for (int64_t j = 0; j < size; j++) {
      count[j] = reach - j % reach;
      first[j] = j % 2 || (axis && part) ? whole[axis] - count[j] : 0;
      for (int64_t k = 0; k < most; k++) {
        if (axis)
          ((int32_t*)weights)[j * most + k] = weight;
        else
          ((int16_t*)weights)[j * most + k] = k / 16 % 2 ? weight >> 11 : weight & 2047;
      }
    }
    windows[axis] = {size, most, first, count, weights};
  }
  const int64_t skipped = part ? height - (height < 19 ? height : 19) : 0;
  StriateResize job = {height,     width,      channels, pixel,
                       windows[0], windows[1], skipped,  height - skipped};
  job.x = bytes(height * width * pixel - (pixel - channels));
  job.between = bytes(job.rows * columns * channels);
  job.y = bytes(rows * columns * channels);
  KERNELS.resize(job);
  calls++;
}

// Messages whose ends lie about the ends of blocks, one of them longer than all others.
void call_digest(int64_t prefix, int64_t messages) {
  std::vector<Block> blocks;
  std::vector<const uint8_t*> starts;
  std::vector<int64_t> lengths;
  for (int64_t n = 0; n < messages; n++) {
    lengths.push_back(n == 2 ? 1000 : 124 + n);
    blocks.emplace_back(lengths.back());
    starts.push_back(blocks.back().as<uint8_t>());
  }
  Block before(prefix), digests(messages * 16);
  StriateDigest job = {messages,      prefix,         2, before.as<uint8_t>(), starts.data(),
                       lengths.data(), digests.as<uint8_t>()};
  KERNELS.digest(job);
  calls++;
}

void call_digests() {
  for (int64_t prefix : {0, 4, 130})
    for (int64_t messages : {0, 1, 19}) call_digest(prefix, messages);
}

void call_winograds(const std::vector<bool>& halves) {
  for (int64_t channels : {1, 2, 24, 67})
    for (int64_t kernels : {1, 16, 70})
      for (int64_t pad : {0, 1, 2})
        for (bool half : halves)
          for (const Shape& shape : {Shape{1, 1, 1, channels}, {2, 3, 4, channels},
                                     {3, 7, 5, channels}, {131, 4, 3, channels}})
            for (int32_t pool : {1, 2})
              call_winograd(shape, kernels, pad, half, 1 + int32_t(channels + kernels) % 3, pool);
}

void call_muon(int64_t rows, int64_t columns, bool half, int32_t threads) {
  StriateMuon job = {rows, columns, half, 3, threads, 3.4f, -4.8f, 2.0f, 0.6f, 0.1f};
  Block weight = volume(rows * columns, false), held = volume(rows * columns, false);
  Block gradient = volume(rows * columns, false);
  job.weight = weight.as<float>(), job.held = held.as<float>();
  job.gradient = gradient.as<float>();
  const int64_t words = KERNELS.muon_words(job);
  if (!words) return;  // this processor does not multiply bf16
  Block work(words * 4);
  job.work = work.as<void>();
  KERNELS.muon(job);
  calls++;
}

void call_muons(const std::vector<bool>& halves) {
  for (int64_t rows : {1, 16, 31, 70})
    for (int64_t columns : {1, 25, 64, 130})
      for (bool half : halves) call_muon(rows, columns, half, 1 + int32_t(rows + columns) % 3);
}

void call_resizes() {
  for (int64_t pixel : {1, 3, 4})
    for (int64_t height : {1, 5, 40})
      for (int64_t width : {1, 2, 6, 33})
        for (int64_t size : {1, 3, 17})
          for (bool part : {false, true})
            call_resize(height, width, pixel == 1 ? 1 : 3, pixel, size, 20 - size, part);
}

void call_trunks() {
  for (int64_t images : {1, 16, 33})
    for (int64_t window : {1, 3, 5})
      for (int pooling = 0; pooling < 4; pooling++)
        for (bool keep : {false, true}) {
          const int activation = int(images + window + pooling) % 6;
          call_trunk({images, 7, 6, 3}, window, pooling, activation, keep);
          call_trunk({images, 2, 2, 1}, window, pooling, activation, keep);
          call_trunk({images, 9, 11, 7}, window, pooling, activation, keep);  // rows are filtered
        }
}

void call_norms() {
  for (int64_t channels : {1, 3, 5, 16, 24, 67})
    for (int64_t images : {1, 3})
      for (int pool : {1, 2})
        for (int activation = 0; activation < 4; activation++)
          for (bool half : {false, true})
            for (bool adds : {false, true})
              for (const Shape& shape : {Shape{images, 1, 1, channels}, {images, 2, 2, channels},
                                         {images, 5, 4, channels}, {images, 4, 7, channels}})
                call_norm(shape, pool, activation, half, adds);
}

void call_gathers(int64_t missing) {
  for (int64_t channels : {1, 2, 3, 5})
    for (int64_t images : {1, 4})
      for (int change = 0; change < 16; change++)
        for (bool half : {false, true})
          for (const Shape& shape : {Shape{images, 1, 1, channels}, {images, 5, 3, channels},
                                     {images, 16, 16, channels}, {images, 3, 259, channels}}) {
            const int done = channels == 1 || channels == 3 ? change : change & 9;
            const Change each = {bool(done & 1), bool(done & 2), bool(done & 4), bool(done & 8)};
            call_gather(shape, each, half, missing);
          }
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "all";
  if (what == "all") {
    call_norms();
    call_trunks();
    call_resizes();
    call_digests();
    call_winograds({false, true});
    call_muons({false, true});
    call_gathers(0);
  }
  if (what == "bytes") {
    call_resizes();
    call_digests();
  }
  if (what == "half") {
    call_winograds({true});
    call_muons({true});
  }
  if (what == "too-small") call_gathers(1);
  std::printf("%lld calls\n", (long long)calls);
  return 0;
}
