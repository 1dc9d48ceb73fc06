/* A small Forth. `boot` fills its dictionary: the primitives, and words that
   are defined in Forth itself, which takes the interpreter many steps. After it
   `eval` takes a line at a time from the place that `line` names. */

#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("host"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

/* Text that a program prints. */
IMPORT(print) void host_print(const char *text, uint32_t length);

typedef int32_t cell;

/* Words in the dictionary: a primitive, or the cells of `code` from `body` on. */
struct word {
    char name[16];
    uint32_t length;
    int32_t primitive;
    uint32_t body;
};

enum { EXIT, LITERAL, BRANCH, BRANCH0, ADD, SUB, MUL, DIV, MOD, LESS, EQUAL, DUP, DROP, SWAP, OVER, ROT, PRINT,
       EMIT, CR, COLON, SEMICOLON, IF, ELSE, THEN, BEGIN, UNTIL, RECURSE, PRIMITIVES };

/* Those from COLON to RECURSE are executed while a word is being defined. */
static const char *const names[PRIMITIVES] = {
    "exit", "(lit)", "(branch)", "(branch0)", "+", "-", "*", "/", "mod", "<", "=", "dup", "drop", "swap", "over",
    "rot", ".", "emit", "cr", ":", ";", "if", "else", "then", "begin", "until", "recurse"};

static const char *const prelude[] = {
    ": negate 0 swap - ;",
    ": 1+ 1 + ; : 1- 1 - ;",
    ": > swap < ; : 0= 0 = ; : 0< 0 < ;",
    ": 2dup over over ;",
    ": nip swap drop ; : tuck swap over ;",
    ": abs dup 0< if negate then ;",
    ": max 2dup < if swap then drop ;",
    ": min 2dup > if swap then drop ;",
    ": square dup * ;",
    ": gcd dup if tuck mod recurse else drop then ;",
    ": fib dup 2 < if else dup 1- recurse swap 2 - recurse + then ;",
    ": stars begin 42 emit 1- dup 0= until drop ;",
};

static struct word words[256];
static cell code[8192], stack[256], returns[1024], marks[32];
static uint32_t word_count, code_end, depth, mark_count, defining;
static char input[1024], message[64];

static uint32_t length_of(const char *text) {
    uint32_t length = 0;
    while (text[length])
        length++;
    return length;
}

static void print(const char *text) { host_print(text, length_of(text)); }

static uint32_t failed;

/* Ends what is being executed, and forgets the stack and the word that was
   being defined. */
static void fail(const char *what) {
    if (!failed)
        print(what);
    failed = 1;
    word_count -= defining;
    depth = mark_count = defining = 0;
}

static void push(cell value) {
    if (depth < sizeof stack / sizeof *stack)
        stack[depth++] = value;
    else
        fail("the stack is full\n");
}

static cell pop(void) {
    if (depth)
        return stack[--depth];
    fail("the stack is empty\n");
    return 0;
}

static void compile(cell value) {
    if (code_end < sizeof code / sizeof *code)
        code[code_end++] = value;
    else
        fail("there is no room for more code\n");
}

static void add_word(const char *name, uint32_t length, int32_t primitive) {
    if (word_count == sizeof words / sizeof *words || length == 0 || length > sizeof words->name) {
        fail("the dictionary is full, or a name too short or too long\n");
        return;
    }
    struct word *word = &words[word_count++];
    for (uint32_t i = 0; i < length; i++)
        word->name[i] = name[i];
    word->length = length;
    word->primitive = primitive;
    word->body = code_end;
}

/* The newest word of this name; -1 if there is none. */
static int32_t find(const char *name, uint32_t length, uint32_t among) {
    for (uint32_t w = among; w-- > 0;) {
        uint32_t i = 0;
        while (i < length && words[w].length == length && words[w].name[i] == name[i])
            i++;
        if (i == length && words[w].length == length)
            return (int32_t)w;
    }
    return -1;
}

static void print_number(cell value) {
    char *at = message + sizeof message;
    uint32_t rest = value < 0 ? -(uint32_t)value : (uint32_t)value;
    *--at = ' ';
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--at = '-';
    host_print(at, (uint32_t)(message + sizeof message - at));
}

/* The next name on the line after `*at`; its length is 0 at the end. */
static uint32_t next_name(const char **at, const char *end) {
    while (*at < end && **at <= ' ')
        (*at)++;
    const char *stop = *at;
    while (stop < end && *stop > ' ')
        stop++;
    return (uint32_t)(stop - *at);
}

static void mark(cell where) {
    if (mark_count < sizeof marks / sizeof *marks)
        marks[mark_count++] = where;
    else
        fail("too much is nested\n");
}

static cell marked(void) {
    if (mark_count)
        return marks[--mark_count];
    fail("something ends that has not begun\n");
    return 0;
}

static void define(int32_t primitive) {
    cell where;
    switch (primitive) {
    case SEMICOLON:
        compile(EXIT);
        if (mark_count)
            fail("something has not ended\n");
        defining = 0;
        break;
    case IF:
        compile(BRANCH0);
        mark((cell)code_end);
        compile(0);
        break;
    case ELSE:
        where = marked();
        compile(BRANCH);
        mark((cell)code_end);
        compile(0);
        code[where] = (cell)code_end;
        break;
    case THEN:
        where = marked();
        code[where] = (cell)code_end;
        break;
    case BEGIN:
        mark((cell)code_end);
        break;
    case UNTIL:
        compile(BRANCH0);
        compile(marked());
        break;
    case RECURSE:
        compile((cell)word_count - 1);
        break;
    }
}

static void compute(int32_t primitive) {
    cell b = pop(), a = primitive >= DUP ? 0 : pop();
    switch (primitive) {
    case ADD: push((cell)((uint32_t)a + (uint32_t)b)); break;
    case SUB: push((cell)((uint32_t)a - (uint32_t)b)); break;
    case MUL: push((cell)((uint32_t)a * (uint32_t)b)); break;
    case DIV: case MOD:
        if (b == 0 || (b == -1 && a == INT32_MIN))
            fail("there is no quotient\n");
        else
            push(primitive == DIV ? a / b : a % b);
        break;
    case LESS: push(-(a < b)); break;
    case EQUAL: push(-(a == b)); break;
    case DUP: push(b); push(b); break;
    case DROP: break;
    case SWAP: a = pop(); push(b); push(a); break;
    case OVER: a = pop(); push(a); push(b); push(a); break;
    case ROT: { cell c = pop(); a = pop(); push(c); push(b); push(a); } break;
    case PRINT: print_number(b); break;
    case EMIT: message[0] = (char)b; host_print(message, 1); break;
    }
}

static void run(uint32_t word) {
    uint32_t used = 0, at;
    if (words[word].primitive == CR) {
        print("\n");
        return;
    }
    if (words[word].primitive >= 0) {
        compute(words[word].primitive);
        return;
    }
    at = words[word].body;
    while (!failed) {
        cell what = code[at++];
        int32_t primitive = words[what].primitive;
        switch (primitive) {
        case EXIT:
            if (used == 0)
                return;
            at = (uint32_t)returns[--used];
            break;
        case LITERAL: push(code[at++]); break;
        case BRANCH: at = (uint32_t)code[at]; break;
        case BRANCH0: at = pop() ? at + 1 : (uint32_t)code[at]; break;
        case CR: print("\n"); break;
        case -1:
            if (used == sizeof returns / sizeof *returns) {
                fail("calls are nested too deeply\n");
                return;
            }
            returns[used++] = (cell)at;
            at = words[what].body;
            break;
        default: compute(primitive);
        }
    }
}

static uint32_t number(const char *name, uint32_t length, cell *value) {
    uint32_t i = length > 1 && name[0] == '-', result = 0;
    for (; i < length; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        result = result * 10 + (uint32_t)(name[i] - '0');
    }
    *value = (cell)(name[0] == '-' && length > 1 ? -result : result);
    return 1;
}

/* Executes one name, or adds it to the word that is being defined. */
static void interpret(const char **at, const char *end, uint32_t length) {
    const char *name = *at;
    cell value;
    *at += length;
    int32_t word = find(name, length, word_count - defining);
    int32_t primitive = word < 0 ? -1 : words[word].primitive;
    if (primitive == COLON && !defining) {
        length = next_name(at, end);
        add_word(*at, length, -1);
        *at += length;
        defining = !failed;
    } else if (word < 0 && number(name, length, &value)) {
        if (defining) {
            compile(LITERAL);
            compile(value);
        } else {
            push(value);
        }
    } else if (word < 0 || (primitive >= EXIT && primitive <= BRANCH0) || (primitive >= COLON && !defining)) {
        host_print(name, length);
        fail(" means nothing here\n");
    } else if (primitive >= COLON) {
        define(primitive);
    } else if (defining) {
        compile(word);
    } else {
        run((uint32_t)word);
    }
}

static void evaluate(const char *text, uint32_t length) {
    const char *end = text + length;
    failed = 0;
    while (!failed && (length = next_name(&text, end)) > 0)
        interpret(&text, end, length);
}

/* Fills the dictionary; without that not even `+` is known. */
EXPORT(boot) void boot(void) {
    for (int32_t p = 0; p < PRIMITIVES; p++)
        add_word(names[p], length_of(names[p]), p);
    for (uint32_t i = 0; i < sizeof prelude / sizeof *prelude; i++)
        evaluate(prelude[i], length_of(prelude[i]));
}

/* How many words the dictionary has. */
EXPORT(words) uint32_t count_words(void) { return word_count; }

/* Where the host may put a line of this many bytes; null if it is too long. */
EXPORT(line) char *line(uint32_t length) { return length <= sizeof input ? input : 0; }

/* Executes the line; whether it went well. */
EXPORT(eval) uint32_t eval(uint32_t length) {
    evaluate(input, length > sizeof input ? sizeof input : length);
    return !failed;
}
