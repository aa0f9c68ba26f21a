#include "words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fail(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(reader->problem, reader->problem_size, "word %ld: ", reader->word_number);
    if (used > 0 && (size_t)used < reader->problem_size) {
        va_start(arguments, format);
        vsnprintf(reader->problem + used, reader->problem_size - (size_t)used, format, arguments);
        va_end(arguments);
    }
    longjmp(reader->failed, 1);
}

void *allocate(struct reader *reader, size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        fail(reader, "out of memory");
    return memory;
}

const char *next_word(struct reader *reader)
{
    reader->word_number++;
    if (fscanf(reader->file, "%4095s", reader->word) != 1)
        fail(reader, "the scenario ends too early");
    return reader->word;
}

bool word_is(const struct reader *reader, const char *word)
{
    return strcmp(reader->word, word) == 0;
}

void expect(struct reader *reader, const char *word)
{
    next_word(reader);
    if (!word_is(reader, word))
        fail(reader, "%s where %s was expected", reader->word, word);
}

int64_t next_integer(struct reader *reader, int64_t low, int64_t high)
{
    char *end;
    errno = 0;
    long long value = strtoll(next_word(reader), &end, 10);
    if (*end != '\0' || errno != 0 || value < low || value > high)
        fail(reader, "%s is no whole number from %lld to %lld", reader->word, (long long)low, (long long)high);
    return value;
}

int next_int(struct reader *reader, int low, int high)
{
    return (int)next_integer(reader, low, high);
}

int64_t next_time(struct reader *reader)
{
    return next_integer(reader, -1, INT64_MAX / 4);
}

double next_number(struct reader *reader, double high)
{
    char *end;
    double value = strtod(next_word(reader), &end);
    if (*end != '\0' || !(value >= 0) || value > high)
        fail(reader, "%s is no number from 0 to %g", reader->word, high);
    return value;
}

bool next_address(struct reader *reader, int family, uint8_t *address)
{
    next_word(reader);
    if (word_is(reader, "-"))
        return false;
    if (inet_pton(family, reader->word, address) != 1)
        fail(reader, "%s is no address", reader->word);
    return true;
}

static int digit_of(struct reader *reader, char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    fail(reader, "%c is no hexadecimal digit", digit);
}

size_t next_bytes(struct reader *reader, uint8_t *bytes, size_t room)
{
    next_word(reader);
    if (word_is(reader, "-"))
        return 0;
    size_t length = strlen(reader->word) / 2;
    if (strlen(reader->word) % 2 != 0 || length > room)
        fail(reader, "%s is not a number of whole bytes up to %zu", reader->word, room);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(digit_of(reader, reader->word[2 * i]) << 4 | digit_of(reader, reader->word[2 * i + 1]));
    return length;
}
