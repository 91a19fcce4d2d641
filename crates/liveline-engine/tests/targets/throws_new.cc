// The new code: cleans up, catches what old code throws (through its own callback) and throws another, which old
// code catches; and a constructor of a new object.
#include <stdexcept>

extern "C" {
extern volatile int cleaned;
struct Guard { volatile int *count; ~Guard() { __sync_fetch_and_add(count, 1); } };

static volatile int constructed, others;
void construct(void)
{
    try { throw 1; } catch (int n) { constructed = constructed + n; }
}
__attribute__((noinline)) static int through(int x, int (*inner)(int))
{
    Guard guard = {x == 1 ? &cleaned : &others};
    return inner(x);
}
int change(int x, int (*inner)(int))
{
    Guard guard = {x == 1 ? &cleaned : &others};
    try { return through(x, inner) + 10; }
    catch (int thrown) { if (thrown != -3) return -2; throw std::runtime_error("new"); }
}
int initialized(int x) { return x + 100 + constructed; }
}
