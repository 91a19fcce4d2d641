/* A 32-bit process without a C library: says `ready`, then waits for input to end. */
static int call(int number, int a, const void *b, int c) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void) {
    char byte;
    call(4, 1, "ready\n", 6);
    while (call(3, 0, &byte, 1) == 1) {}
    call(1, 0, 0, 0);
    for (;;) {}
}
