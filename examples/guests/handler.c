/* Answers a request. The host makes a new instance for each, so whatever is
   static here begins as it was compiled. */

#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("http"), import_name(#name)))

/* Copies at most `capacity` bytes of the path; returns its whole length. */
IMPORT(path) uint32_t http_path(char *buffer, uint32_t capacity);
/* The answer. */
IMPORT(respond) void http_respond(uint32_t status, const char *body, uint32_t length);

static uint32_t requests;

static uint32_t equal(const char *a, uint32_t length, const char *b) {
    while (length > 0 && *b && *a == *b)
        a++, b++, length--;
    return length == 0 && *b == 0;
}

static void respond(uint32_t status, const char *text) {
    uint32_t length = 0;
    while (text[length])
        length++;
    http_respond(status, text, length);
}

__attribute__((export_name("handle"))) void handle(void) {
    static char path[256], greeting[] = "this instance has seen N request(s)\n";
    uint32_t length = http_path(path, sizeof path);
    requests++;
    if (equal(path, length, "/")) {
        greeting[23] = (char)('0' + requests % 10);
        respond(200, greeting);
    } else if (equal(path, length, "/crash")) {
        __builtin_trap();
    } else if (equal(path, length, "/spin")) {
        for (;;) {
        }
    } else {
        respond(404, "there is nothing here\n");
    }
}
