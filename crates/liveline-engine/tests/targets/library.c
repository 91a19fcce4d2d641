/* For opens.c. Long enough for a detour: what lies behind it may be _fini. */
static volatile int calls;

int first(int x)
{
    calls++;
    return x + 1;
}
