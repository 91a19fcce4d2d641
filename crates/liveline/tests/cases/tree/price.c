#include "price.h"

static int calls;

/* Neither inlined nor cloned: callers of another file. */
__attribute__((noinline)) int price(int count)
{
    calls++;
    return count * 3 - 1;
}

int price_calls(void)
{
    return calls;
}
