/* Counts primes in an interval, with a sieve in its own memory. */

#include <stdint.h>

static unsigned char composite[1 << 20];

/* The number of primes p with from <= p < to; to - from is at most 2^20. */
__attribute__((export_name("count_primes"))) int32_t count_primes(uint32_t from, uint32_t to) {
    if (to < from || to - from > sizeof composite)
        __builtin_trap();
    for (uint32_t d = 2; (uint64_t)d * d < to; d++) {
        uint64_t first = ((uint64_t)from + d - 1) / d * d;
        if (first < (uint64_t)d * d)
            first = (uint64_t)d * d;
        for (uint64_t n = first; n < to; n += d)
            composite[n - from] = 1;
    }
    int32_t count = 0;
    for (uint32_t n = from < 2 ? 2 : from; n < to; n++)
        count += !composite[n - from];
    return count;
}
