/* Spins with known values in the vector, mask, x87 and general registers and in the red zone; counts when one
   changes. Counters: 0 rounds, 1 vector, 2 x87, 3 general registers, 4 red zone. Argument: number of threads. */
#include "counters.h"
#include <cpuid.h>

static int wide;

static void round_of_ymm(void) {
    static const __thread int unused;
    (void)unused;
    uint64_t in[16][4] __attribute__((aligned(32))), out[16][4] __attribute__((aligned(32)));
    for (int i = 0; i < 16; i++) for (int j = 0; j < 4; j++) in[i][j] = 0x1111111111111111ull * (i + 1) + j;
    double x[8] = { 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5 }, y[8];
    uint64_t regs[8] = { 0 };
#define V(n) "vmovdqa " #n "*32(%[in]), %%ymm" #n "\n"
#define S(n) "vmovdqa %%ymm" #n ", " #n "*32(%[out])\n"
    __asm__ volatile(
        V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7) V(8) V(9) V(10) V(11) V(12) V(13) V(14) V(15)
        "fninit\nfldl 0(%[x])\nfldl 8(%[x])\nfldl 16(%[x])\nfldl 24(%[x])\nfldl 32(%[x])\nfldl 40(%[x])\nfldl 48(%[x])\nfldl 56(%[x])\n"
        "movabs $0x1122334455667788, %%r8\nmov %%r8, %%r9\nmov %%r8, %%r10\nmov %%r8, %%r11\nmov %%r8, %%rdx\n"
        "mov %%r8, -8(%%rsp)\nmov %%r8, -64(%%rsp)\nmov %%r8, -128(%%rsp)\n"
        "mov $200000, %%ecx\n1: dec %%ecx\njnz 1b\n"
        "mov %%r8, 0(%[r])\nmov %%r9, 8(%[r])\nmov %%r10, 16(%[r])\nmov %%r11, 24(%[r])\nmov %%rdx, 32(%[r])\n"
        "mov -8(%%rsp), %%r8\nmov %%r8, 40(%[r])\nmov -64(%%rsp), %%r8\nmov %%r8, 48(%[r])\nmov -128(%%rsp), %%r8\nmov %%r8, 56(%[r])\n"
        "fstpl 56(%[y])\nfstpl 48(%[y])\nfstpl 40(%[y])\nfstpl 32(%[y])\nfstpl 24(%[y])\nfstpl 16(%[y])\nfstpl 8(%[y])\nfstpl 0(%[y])\n"
        S(0) S(1) S(2) S(3) S(4) S(5) S(6) S(7) S(8) S(9) S(10) S(11) S(12) S(13) S(14) S(15)
        "vzeroupper\n"
        : : [in] "r"(in), [out] "r"(out), [x] "r"(x), [y] "r"(y), [r] "r"(regs)
        : "memory", "rcx", "rdx", "r8", "r9", "r10", "r11", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
          "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    if (memcmp(in, out, sizeof in)) add(1);
    if (memcmp(x, y, sizeof x)) add(2);
    for (int i = 0; i < 8; i++) if (regs[i] != 0x1122334455667788ull) add(i < 5 ? 3 : 4);
}

/* The upper halves, the upper sixteen and a mask register, where the processor has them. */
__attribute__((target("avx512f"))) static void round_of_zmm(void) {
    uint64_t in[3][8] __attribute__((aligned(64))), out[3][8] __attribute__((aligned(64)));
    for (int i = 0; i < 24; i++) in[i / 8][i % 8] = 0x0101010101010101ull * (i + 1);
    uint64_t mask = 0;
    __asm__ volatile(
        "vmovdqa64 (%[in]), %%zmm1\nvmovdqa64 64(%[in]), %%zmm17\nvmovdqa64 128(%[in]), %%zmm31\nmov $0x5a5a, %%edx\nkmovw %%edx, %%k3\n"
        "mov $200000, %%ecx\n1: dec %%ecx\njnz 1b\n"
        "vmovdqa64 %%zmm1, (%[out])\nvmovdqa64 %%zmm17, 64(%[out])\nvmovdqa64 %%zmm31, 128(%[out])\nkmovw %%k3, %%edx\nmov %%rdx, (%[m])\nvzeroupper\n"
        : : [in] "r"(in), [out] "r"(out), [m] "r"(&mask) : "memory", "rcx", "rdx", "xmm1", "xmm17", "xmm31", "k3");
    if (memcmp(in, out, sizeof in) || mask != 0x5a5a) add(1);
}

static void *spin(void *arg) {
    for (;;) {
        round_of_ymm();
        if (wide) round_of_zmm();
        add(0);
    }
    return arg;
}

int main(int argc, char **argv) {
    counters_open(argv[1]);
    __builtin_cpu_init();
    wide = __builtin_cpu_supports("avx512f");
    pthread_t t;
    for (int i = 1; i < atoi(argv[2]); i++) pthread_create(&t, 0, spin, 0);
    ready();
    spin(0);
}
