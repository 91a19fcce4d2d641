/* Comes to rest deep in its stack: mode 0 in a handler, 1 in a handler on an alternate stack, 2 in a handler for
   a fault on the first instruction of a function, 3 in a library function called through the PLT by a recursion.
   Counter 0 says that it is there. */
#include "counters.h"
#include <alloca.h>

static int mode;
static volatile long sink;

__attribute__((noinline)) static void rest(void) { counter[0] = 1; for (;;) pause(); }
__attribute__((noinline)) static void handler(int s) { (void)s; rest(); sink++; }

void faults_at_once(void);
__asm__(".text\n.type faults_at_once, @function\nfaults_at_once:\n.cfi_startproc\nud2\nret\n.cfi_endproc\n"
        ".size faults_at_once, .-faults_at_once\n");

static int compare(const void *a, const void *b) { (void)a; (void)b; rest(); sink++; return 0; }

__attribute__((noinline)) static void recurse(int depth) {
    int two[2] = { 2, 1 };
    if (depth) recurse(depth - 1);
    else qsort(two, 2, sizeof *two, compare);
    sink += two[0];
}

__attribute__((noinline)) static void inner(int n) {
    volatile char *p = alloca(n);
    __attribute__((aligned(64))) volatile char buffer[64];
    p[0] = buffer[0] = 1;
    switch (mode) {
    case 2: faults_at_once(); break;
    case 3: recurse(5); break;
    default: raise(SIGUSR1);
    }
    sink += buffer[0] + p[0];
}

__attribute__((noinline)) static void outer(int n) { inner(n); sink++; }

int main(int argc, char **argv) {
    counters_open(argv[1]);
    mode = atoi(argv[2]);
    struct sigaction sa = { .sa_handler = handler };
    if (mode == 1) {
        stack_t alt = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
        sigaltstack(&alt, 0);
        sa.sa_flags = SA_ONSTACK;
    }
    sigaction(SIGUSR1, &sa, 0);
    sigaction(SIGILL, &sa, 0);
    ready();
    outer(100 + argc);
}
