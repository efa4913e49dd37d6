/* A program of somebody else: uses the installed library through its header alone. With USES_VULKAN it calls Vulkan itself, too,
 * as a program does that draws. */
#include <hornito.h>
#include <stdio.h>
#include <string.h>
#ifdef USES_VULKAN
#include <vulkan/vulkan.h>
#endif

int main(int argc, char **argv) {
  hn_context *ctx = NULL;
  hn_model *model = NULL;
  hn_error err = {0};
  int32_t ids[64];
  size_t n = 0;
#ifdef USES_VULKAN
  uint32_t version = 0;
  if (vkEnumerateInstanceVersion(&version) != VK_SUCCESS)
    return 1;
#endif
  if (argc != 2 || hn_context_create(NULL, &ctx, &err) != HN_OK)
    return 1;
  hn_status status = hn_model_load(ctx, argv[1], &(hn_model_params){.header_only = true}, &model, &err);
  if (status == HN_OK)
    status = hn_tokenize(model, "Hello world", strlen("Hello world"), 0, ids, 64, &n, &err);
  if (status == HN_OK)
    printf("hornito %s: %zu tokens\n", hn_version(), n);
  else
    fprintf(stderr, "%s\n", err.message);
  hn_model_destroy(&model);
  hn_context_destroy(&ctx);
  return status == HN_OK ? 0 : 1;
}
