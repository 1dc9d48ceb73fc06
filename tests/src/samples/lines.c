// A guest with debug information, for backtraces with files and lines.
__attribute__((import_module("host"), import_name("check"))) void check(int);

static inline __attribute__((always_inline)) int divide(int a, int b) {
    check(b);
    return a / b;
}

__attribute__((noinline)) static int half(int n) {
    if (n < 0)
        __builtin_trap();
    return divide(n, n - n + 2);
}

__attribute__((export_name("run"))) int run(int n, int by) {
    return half(n) +
        divide(n, by);
}
