/* A plug-in: makes the last part of an address from a title. It shares its
   memory with the host, which puts the title where `reserve` says. */

#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("host"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

/* The most characters that the host wants. */
IMPORT(longest) uint32_t host_longest(void);
/* Text for the host's log. */
IMPORT(log) void host_log(const char *text, uint32_t length);

static char text[4096];

/* Where the host may put a title of this many bytes; null if it is too long. */
EXPORT(reserve) char *reserve(uint32_t length) { return length <= sizeof text ? text : 0; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Replaces the title by the result, whose length is returned. */
EXPORT(slug) uint32_t slug(uint32_t length) {
    uint32_t longest = host_longest(), end = 0;
    for (uint32_t i = 0; i < length && end < longest; i++) {
        char c = lower(text[i]);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            text[end++] = c;
        else if (end > 0 && text[end - 1] != '-')
            text[end++] = '-';
    }
    if (end == longest) {
        static const char message[] = "the title was cut";
        host_log(message, sizeof message - 1);
    }
    while (end > 0 && text[end - 1] == '-')
        end--;
    return end;
}
