/* What `bench pause` replaces. */
int work_calls;
__attribute__((noinline)) int work(int x) {
    work_calls++;
    return x + 1;
}
