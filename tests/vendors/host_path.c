/*
 * vendor_host_path: a prompt and a decode step, recorded and submitted on Vulkan device 0 under the validation layer. For devices that compute
 * nothing (vendors/chip): limits, memory types, features and pipelines are the vendor's, so the self-test is left out and no number is looked
 * at. Fails on any message of the layer; exit 77 where the layer is not there.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../tools/bench/subject.h"
#include "../random_model.h"
#include "../test_device.h"

enum { N_CTX = 64, N_BATCH = 16 };

static unsigned n_messages;

static void on_log(void *user, hn_log_level level, const char *message) {
  (void)user;
  if (level >= HN_LOG_WARNING) {
    printf("%s\n", message);
    n_messages++;
  }
}

/* All types of weights that the kernels know, on one device. */
static const random_model models[] = {
    {.type = QUANT_Q4_0, .v = QUANT_Q5_0, .down = QUANT_Q5_1, .output = QUANT_Q8_0, .n_embd = 128, .n_ff = 256, .n_layers = 2,
     .n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .n_vocab = 300},
    {.type = QUANT_Q4_K, .v = QUANT_Q6_K, .down = QUANT_Q5_K, .output = QUANT_Q4_1, .n_embd = 256, .n_ff = 512, .n_layers = 1,
     .n_heads = 4, .n_kv_heads = 1, .head_dim = 64, .n_vocab = 257, .bias = true},
    {.type = QUANT_Q2_K, .v = QUANT_Q3_K, .down = QUANT_IQ4_XS, .output = QUANT_IQ4_NL, .n_embd = 256, .n_ff = 256, .n_layers = 1,
     .n_heads = 4, .n_kv_heads = 1, .head_dim = 64, .n_vocab = 257}};

static hn_status run_model(gpu_device *device, const random_model *model, hn_error *err) {
  char path[64];
  subject s;
  random_model_save(model, 3, path);
  hn_status status = subject_init(device, path, &(subject_params){.n_ctx = N_CTX, .n_batch = N_BATCH, .weights = {.trust = true}}, &s, err);
  if (!status)
    status = subject_eval(&s, 0, 2 * N_BATCH + 1, err);
  if (!status)
    status = subject_eval(&s, 2 * N_BATCH + 1, 1, err);
  subject_finish(&s);
  unlink(path);
  return status;
}

int main(void) {
  gpu_device *device = test_device_open(true, on_log);
  hn_error err = {0};
  hn_status status = HN_OK;
  printf("%s\n", device->info.name);
  for (size_t i = 0; i < sizeof models / sizeof *models && !status; i++)
    status = run_model(device, &models[i], &err);
  if (status)
    printf("FAILED: %s\n", err.message);
  test_device_close(&device);
  return status || n_messages ? 1 : 0;
}
