// The plain C interface of Striate's operators. No PyTorch in it: Python calls it through ctypes.
//
// Volumes are (N, H, W, C) in memory, fp32 or bf16; what is by channel is fp32, (C).
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Max pooling of 2x2 or none, batch normalisation, an addition or none, and an activation:
// y = activation(pooled * scale + shift + added).
typedef struct {
  int64_t images, height, width, channels;  // of x
  int32_t half;        // 1: volumes are bf16
  int32_t pool;        // 1: none, 2: 2x2 with stride 2, an odd last row or column left out
  int32_t activation;  // 0 identity, 1 relu, 2 gelu, 3 silu
  int32_t threads;
  const void* x;      // (N, H, W, C)
  const void* added;  // as y, or null
  void* pooled;       // (N, H/pool, W/pool, C); x itself without pooling
  uint8_t* places;    // of the maxima within their windows, 0 to 3, as pooled; null without pooling
  float* sums;        // (N, 2, C), work space
  double* totals;     // (2, C)
  const float* centre;  // (C), near the mean: what sums are taken around
  const float* scale;
  const float* shift;
  void* y;         // as pooled
  const void* dy;  // as pooled
  const float* a;  // dx = a * dz + b * (pooled - centre) + d, where dz = dy * activation'(z)
  const float* b;
  const float* d;
  void* dx;      // as x
  void* dadded;  // dz, as y, or null
} StriateNorm;

// x -> pooled, places, totals: of pooled - centre, and of its square
void striate_norm_sums(const StriateNorm* job);
// pooled, scale, shift, added -> y
void striate_norm_activate(const StriateNorm* job);
// x, scale, shift, added -> y, with the pooling and nothing kept for the way back
void striate_norm_infer(const StriateNorm* job);
// pooled, scale, shift, added, dy, centre -> totals: of dz, and of dz * (pooled - centre)
void striate_norm_gradient_sums(const StriateNorm* job);
// pooled, places, scale, shift, added, dy, centre, a, b, d -> dx, dadded
void striate_norm_gradient(const StriateNorm* job);

// A batch of training images out of an array of bytes (N, H, W, C): each translated (what comes in
// from beyond the border is reflected), mirrored, recoloured, scaled, and blanked in a square.
typedef struct {
  int64_t images, height, width, channels;  // of y
  int32_t half;                             // 1: y is bf16
  int32_t threads;
  const uint8_t* x;
  const int64_t* places;    // (B), of the images in x
  const int64_t* down;      // (B), pixel (i, j) comes from (i + down, j + right); null for 0
  const int64_t* right;     // (B)
  const uint8_t* mirrored;  // (B), 1: the columns of the source are counted from the right; or null
  const float* warps;       // (B, 2, 3), then C is 1 or 3: from a place (x, y, 1) in the result to one
                            // in the moved image, both axes from -1 to 1 between the outer edges; the
                            // result is scale * value / 255 + shift; or null
  const void* table;        // (C, 256), what a byte becomes, of y's type; fp32 with matrices
  const float* matrices;  // (B, C, C), then C is 1 or 3: y = clamp(matrix value + offset to 0..1) *
                          // scale + shift; or null
  const float* shares;   // (B), of the mean brightness that the offset is
  const float* weights;  // (C), of the channels in the brightness
  const float* scale;    // (C)
  const float* shift;    // (C)
  int64_t side;          // of the blanked square in pixels, 0 for none
  const int64_t* top;    // (B), its first row, perhaps outside
  const int64_t* left;   // (B), its first column
  void* y;               // (B, H, W, C)
} StriateGather;

void striate_gather(const StriateGather* job);

// Which pixels of a row, or of a column, make each pixel of the result.
typedef struct {
  int64_t size, most;      // pixels of the result; weights of one
  const int64_t* first;    // (size), the first pixel of its window ...
  const int64_t* count;    // (size), ... and how many there are
  const void* weights;     // (size, most): int32, times 2^22; along the rows, int16 parts of them
} StriateWindows;

// An image of bytes (H, W, C), C 1 or 3, scaled: along its rows, then along its columns.
typedef struct {
  int64_t height, width, channels;  // of x
  int64_t pixel;                    // bytes from one pixel of x to the next: C, or with C = 3 also
                                    // 4; behind the last one nothing is read
  // w = 2048 high + low, 0 <= low < 2048. Sixteen low parts for the pixels of a load, then their
  // high parts: with C = 1 for sixteen pixels, with C = 3 for four: two, four times, and two more.
  StriateWindows across;
  StriateWindows down;
  int64_t first_row, rows;  // of x that the result needs
  const uint8_t* x;
  uint8_t* between;  // (rows, across.size, C), work space
  uint8_t* y;        // (down.size, across.size, C)
} StriateResize;

void striate_resize(const StriateResize* job);

// Convolution with stride 1, activation and pooling.
typedef struct {
  int64_t channels, height, width;  // of what it takes
  int64_t kernels, kernel_height, kernel_width, pad_height, pad_width;
  int32_t activation;  // 0 identity, 1 relu, 2 gelu, 3 silu, 4 tanh, 5 sigmoid
  int32_t pooling;     // of 2x2 with stride 2, an odd last row or column left out: 0 none, 1 max or
                       // 2 average before the activation, 3 average after it
  int64_t weight_strides[4];  // in values, of the weights and their gradient
  const float* weight;        // (K, C, Fh, Fw)
  const float* bias;          // (K), or null
  float* weight_gradient;
  float* bias_gradient;  // or null
} StriateLayer;

#define STRIATE_MOST_LAYERS 8

// Such layers in a row on fp32 images, sixteen images at a time.
typedef struct {
  int64_t images, count;  // of layers
  const StriateLayer* layers;
  int32_t channels_last;  // 1: x and dx are (N, H, W, C) in memory, else (N, C, H, W)
  int32_t keep;           // 1: `kept` holds all images for the way back, 0: those in work
  int32_t threads;
  const float* x;
  float* y;  // (N, K, H', W')
  const float* dy;
  float* dx;    // or null
  float* kept;  // of the size that striate_trunk_sizes gives, for every sixteen images or thread
  float* work;
} StriateTrunk;

// The floats of `kept`, for sixteen images, and of `work`, for all.
void striate_trunk_sizes(const StriateTrunk* job, int64_t* kept, int64_t* work);
// x -> y, kept
void striate_trunk(const StriateTrunk* job);
// x, dy, kept -> dx, and the gradients of the layers
void striate_trunk_back(const StriateTrunk* job);

// A convolution of 3x3 windows with stride 1, (N, H, W, C) to (N, H', W', K).
typedef struct {
  int64_t images, height, width, channels;  // of x
  int64_t kernels, pad;                     // zeros on every side, 0 to 2
  int32_t half;    // 1: volumes are bf16, which only "amx" and "avx512_bf16" take
  int32_t turned;  // 1: the weights of the way back, from the channels of y to those of x
  int32_t pool;    // 2: y and dy, or turned x, hold the largest of every 2x2 (an odd last row or
                   // column is left out), else 1; height and width are those of the whole
  int32_t threads;
  const float* weight;  // (K, 3, 3, C), or turned: (C, 3, 3, K)
  const float* bias;    // (K), or null
  void* panels;         // room for the weights in the form that is multiplied
  const void* x;
  void* y;
  const void* dy;          // as y
  uint8_t* places;         // as the pooled volume, which of the four was the largest; may be null
                           // on the way forward
  float* weight_gradient;  // (K, 3, 3, C)
  void* work;
} StriateWinograd;

// The words of `panels`, and those of `work` for each of the two below; 0 where it does not run.
void striate_winograd_sizes(const StriateWinograd* job, int64_t* panels, int64_t* forward,
                            int64_t* gradient);
// x, weight, bias, panels -> y, places; turned: x, places, weight, panels -> y
void striate_winograd(const StriateWinograd* job);
// x, dy, places -> weight_gradient
void striate_winograd_weights(const StriateWinograd* job);

// A step of Muon for a matrix of weights, one row for each output:
//   held = factor * held + gradient;  u = gradient + factor * held
//   weight = weight * sqrt(rows) / |weight| - rate * (near the orthogonal matrix next to u)
typedef struct {
  int64_t rows, columns;
  int32_t half;   // 1: the products with u are bf16, which only "amx" and "avx512_bf16" take
  int32_t steps;  // at least 1, of the Newton-Schulz iteration
                  // x <- (a + b x x' + c x x' x x') x, from u / |u|
  int32_t threads;
  float a, b, c, factor, rate;
  float* weight;
  float* held;
  const float* gradient;
  void* work;
} StriateMuon;

// The words of `work`; 0 where it does not run.
int64_t striate_muon_words(const StriateMuon* job);
void striate_muon(const StriateMuon* job);

// BLAKE2b of 16 bytes of each message: of what comes before all of them, and its own bytes.
typedef struct {
  int64_t messages, prefix_length;
  int32_t threads;  // at least 1
  const uint8_t* prefix;
  const uint8_t* const* starts;  // (messages)
  const int64_t* lengths;        // (messages), in bytes
  uint8_t* digests;              // (messages, 16)
} StriateDigest;

void striate_digest(const StriateDigest* job);

// Which code runs: "amx", "avx512_bf16", "avx512", "avx2" or "scalar"; the best that the processor
// has.
const char* striate_processor(void);
// Another one, for tests: 0 if this processor lacks it, else 1.
int32_t striate_use_processor(const char* name);
// Of this interface; Python refuses a library of another version.
int32_t striate_version(void);

#ifdef __cplusplus
}
#endif
