/* A function to be called from outside. Counters: 0 rounds, 1 its address, 2 calls with a misaligned stack. */
#include "counters.h"

__attribute__((noinline)) static uint64_t sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
    uint64_t frame = (uint64_t)__builtin_frame_address(0);
    if (frame % 16) add(2);
    return a + b + c + d + e + f;
}

int main(int argc, char **argv) {
    counters_open(argv[1]);
    counter[1] = (uint64_t)sum;
    ready();
    for (;;) { usleep(1000); add(0); }
}
