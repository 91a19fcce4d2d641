/* A coroutine that is suspended inside first(), on a stack that belongs to no thread. A line on standard input
   asks: "?" for the answer, "go" lets the coroutine leave first() and clears what it left on its stack. */
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

static ucontext_t scheduler, coroutine;
static char stack[256 * 1024];
static volatile int inside;

__attribute__((noinline, noclone)) int first(int x)
{
    if (inside) swapcontext(&coroutine, &scheduler);
    return x + 1;
}

__attribute__((noinline)) static void clear(void)
{
    volatile char space[64 * 1024];
    for (unsigned i = 0; i < sizeof space; i++) space[i] = 0;
}

static void body(void)
{
    inside = 1;
    first(0);
    clear();
    for (;;) swapcontext(&coroutine, &scheduler);
}

int main(void)
{
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    makecontext(&coroutine, body, 0);
    swapcontext(&scheduler, &coroutine);
    inside = 0;
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'g') swapcontext(&scheduler, &coroutine);
        printf("%d 0 0 0\n", first(0));
        fflush(stdout);
    }
    return 0;
}
