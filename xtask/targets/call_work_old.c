/* What `bench call` measures: `beside` stays, `patched` is replaced. */
#include <stdint.h>
__attribute__((noinline, aligned(64))) uint64_t beside(uint64_t x) { return x + 3; }
__attribute__((noinline, aligned(64))) uint64_t patched(uint64_t x) { return x + 1; }
