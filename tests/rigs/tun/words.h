/* Reads words separated by white space; whatever is wrong ends the reading by a jump. Knows no scenarios. */
#ifndef WORDS_H
#define WORDS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct reader {
    FILE *file;
    char word[4096];
    long word_number;
    char *problem;
    size_t problem_size;
    jmp_buf failed;
};

/* Leave a message and jump. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(struct reader *reader, const char *format, ...);

void *allocate(struct reader *reader, size_t count, size_t size);

const char *next_word(struct reader *reader);
void expect(struct reader *reader, const char *word);
bool word_is(const struct reader *reader, const char *word);
int64_t next_integer(struct reader *reader, int64_t low, int64_t high);
int next_int(struct reader *reader, int low, int high);
int64_t next_time(struct reader *reader);
double next_number(struct reader *reader, double high);

/* An address of the family; false for `-`, which stands for none. */
bool next_address(struct reader *reader, int family, uint8_t *address);

/* Bytes in hexadecimal; returns how many. `-` stands for none. */
size_t next_bytes(struct reader *reader, uint8_t *bytes, size_t room);

#endif
