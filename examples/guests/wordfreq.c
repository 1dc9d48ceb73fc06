// Prints the most frequent words of its input: files named as arguments, or
// standard input. An ordinary C program; nothing in it knows about wasmc.
//
// Built with `make -C examples/guests` into wordfreq.wasm, which is checked in
// so that nobody needs a C compiler for wasm to try it.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define LONGEST 64
#define SHOWN 10

struct word {
    struct word *next;
    unsigned count;
    char text[];
};

static struct word *buckets[BUCKETS];
static unsigned distinct, total;

static void *checked(void *memory) {
    if (memory == NULL) {
        fputs("wordfreq: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void count(const char *text, size_t length) {
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    }
    struct word **place = &buckets[hash % BUCKETS];
    total++;
    for (struct word *word = *place; word != NULL; word = word->next) {
        if (strcmp(word->text, text) == 0) {
            word->count++;
            return;
        }
    }
    struct word *word = checked(malloc(sizeof *word + length + 1));
    word->next = *place;
    word->count = 1;
    memcpy(word->text, text, length + 1);
    *place = word;
    distinct++;
}

static void read_words(FILE *file) {
    char text[LONGEST + 1];
    size_t length = 0;
    int c;
    do {
        c = getc(file);
        if (c != EOF && isalpha(c)) {
            if (length < LONGEST) {
                text[length++] = (char)tolower(c);
            }
        } else if (length > 0) {
            text[length] = '\0';
            count(text, length);
            length = 0;
        }
    } while (c != EOF);
}

static int by_count(const void *left, const void *right) {
    const struct word *a = *(struct word *const *)left, *b = *(struct word *const *)right;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    return strcmp(a->text, b->text);
}

static void report(void) {
    struct word **all = checked(malloc((distinct + 1) * sizeof *all));
    unsigned n = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct word *word = buckets[i]; word != NULL; word = word->next) {
            all[n++] = word;
        }
    }
    qsort(all, n, sizeof *all, by_count);
    printf("%u words, %u of them distinct\n", total, distinct);
    for (unsigned i = 0; i < n && i < SHOWN; i++) {
        printf("%6u %s\n", all[i]->count, all[i]->text);
    }
    free(all);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        read_words(stdin);
    }
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (file == NULL) {
            fprintf(stderr, "wordfreq: cannot open %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
        read_words(file);
        fclose(file);
    }
    report();
    return 0;
}
