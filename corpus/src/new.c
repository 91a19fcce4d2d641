/* The new build: small, but with one of each thing that the readers know. */
extern int printf_like(const char *, ...);
static int count;
int shared = 7;
__thread int per_thread = 3;
static const char *const names[] = {"one", "two", "three"};
__attribute__((noinline)) static int helper(int a) { static int calls = 5; return a * 3 + ++calls; }
static int added = 4;
static int fresh(int a) { static const char text[] = "fresh"; return text[a & 3] + added++; }
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
	return a + 2 + fresh(a);
}
int (*pointer)(int) = changed;
void _start(void)
{
	pointer(changed(shared));
	for (;;)
		;
}
