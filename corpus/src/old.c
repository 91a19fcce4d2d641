/* The old build: small, but with one of each thing that the readers know. */
extern int printf_like(const char *, ...);
static int count;
int shared = 7;
__thread int per_thread = 3;
static const char *const names[] = {"one", "two", "three"};
__attribute__((noinline)) static int helper(int a) { static int calls = 5; return a * 3 + ++calls; }
__attribute__((noinline)) int changed(int a)
{
	switch (a) {
	case 0: return helper(1);
	case 1: return helper(2) + shared;
	case 2: return count++;
	case 3: return names[a & 1][0];
	case 4: return per_thread;
	case 5: return 99;
	}
	return a + 1;
}
int (*pointer)(int) = changed;
int removed(int a) { return a ^ 1; }
void _start(void)
{
	pointer(changed(shared));
	removed(1);
	for (;;)
		;
}
