#include "forgery.h"
#include "bytes.h"
#include "scenario.h"

#include <string.h>
#include <sys/socket.h>

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, ICMP_HEADER = 8, LONGEST_FORGERY = 4096 };

static int choose(struct reader *reader, const char *const *words, int count)
{
    next_word(reader);
    for (int i = 0; i < count; i++)
        if (word_is(reader, words[i]))
            return i;
    fail(reader, "%s is none of the words that can stand here", reader->word);
}

/* `forgery NUMBER PATH FAMILY TTL TTL FORM CODE REST SHARE DELAY FORGER ADDRESS COUNT`, then the edits. */
void forgery_read(struct reader *reader, struct forgery *forgery, int path_count)
{
    static const char *const forgers[FORGERS] = {"station", "target", "address"};
    static const char *const places[EDIT_PLACES] = {"message", "header", "quoted", "after", "outer"};
    static const char *const kinds[EDIT_KINDS] = {"set", "xor", "add", "insert", "noise", "cut"};
    expect(reader, "forgery");
    forgery->number = next_int(reader, 1, 65535);
    forgery->path = next_int(reader, 0, path_count - 1);
    forgery->which = next_int(reader, 0, 1);
    forgery->first_ttl = next_int(reader, 0, 255);
    forgery->last_ttl = next_int(reader, 0, 255);
    forgery->form = next_int(reader, ANSWER_RST, 255);
    forgery->code = next_int(reader, 0, 255);
    forgery->rest = (uint32_t)next_integer(reader, 0, UINT32_MAX);
    forgery->share = next_number(reader, 1000);
    forgery->delay_ns = next_time(reader);
    forgery->forger = choose(reader, forgers, FORGERS);
    bool is_named = next_address(reader, forgery->which == 0 ? AF_INET : AF_INET6, forgery->address);
    if (is_named != (forgery->forger == FORGER_ADDRESS))
        fail(reader, "an address goes with the forger `address`, and with no other");
    forgery->edit_count = next_int(reader, 0, MAX_EDITS);
    for (int i = 0; i < forgery->edit_count; i++) {
        struct edit *edit = &forgery->edits[i];
        edit->place = choose(reader, places, EDIT_PLACES);
        edit->kind = choose(reader, kinds, EDIT_KINDS);
        edit->offset = (size_t)next_int(reader, 0, LONGEST_FORGERY);
        edit->length = next_bytes(reader, edit->bytes, sizeof edit->bytes);
        if ((edit->kind == EDIT_ADD || edit->kind == EDIT_NOISE) && edit->length != 2)
            fail(reader, "two bytes have to go with %s", kinds[edit->kind]);
    }
}

static uint32_t next_noise(uint32_t *state)
{
    *state ^= *state << 13; /* xorshift: any bytes will do, but the same ones each time */
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Edit what begins at `base` and ends `*length` bytes behind `start`; what is not there is not edited. */
static void apply(const struct edit *edit, uint8_t *start, size_t base, size_t *length, uint32_t *noise)
{
    size_t at = base + edit->offset;
    if (edit->kind == EDIT_CUT) {
        if (at < *length)
            *length = at;
        return;
    }
    if (edit->kind == EDIT_INSERT) {
        if (at <= *length && *length + edit->length <= LONGEST_FORGERY) {
            memmove(start + at + edit->length, start + at, *length - at);
            memcpy(start + at, edit->bytes, edit->length);
            *length += edit->length;
        }
        return;
    }
    if (edit->kind == EDIT_NOISE) {
        for (size_t i = 0; i < get16(edit->bytes) && at + i < *length; i++)
            start[at + i] = (uint8_t)next_noise(noise);
        return;
    }
    if (at + edit->length > *length)
        return;
    if (edit->kind == EDIT_ADD) {
        uint32_t total = (uint32_t)get16(start + at) + get16(edit->bytes);
        put16(start + at, (total & 0xffff) + (total >> 16));
        return;
    }
    for (size_t i = 0; i < edit->length; i++)
        start[at + i] = (uint8_t)(edit->bytes[i] ^ (edit->kind == EDIT_XOR ? start[at + i] : 0));
}

size_t forgery_build(uint8_t *out, const struct forgery *forgery, const struct probe *probe, struct answer *answer)
{
    bool v4 = probe->version == 4;
    bool is_segment = forgery->form == ANSWER_SYN_ACK || forgery->form == ANSWER_RST;
    if ((is_segment && probe->protocol != PROTOCOL_TCP) ||
        (forgery->form == ANSWER_DATA && probe->protocol != PROTOCOL_UDP) || answer->address == NULL)
        return 0;
    answer->type = forgery->form;
    answer->code = forgery->code;
    answer->rest = forgery->rest;
    answer->quote = -1;
    answer->fault = FAULT_NONE;
    answer->manner = NULL;
    if (forgery->forger != FORGER_STATION)
        answer->address = forgery->forger == FORGER_TARGET ? probe->destination : forgery->address;
    size_t header = v4 ? IPV4_HEADER : IPV6_HEADER;
    size_t quoted_header = (size_t)(probe->transport - probe->datagram);
    size_t length = answer_build(out, probe, answer);
    int protocol = is_segment                       ? PROTOCOL_TCP
                   : forgery->form == ANSWER_DATA ? PROTOCOL_UDP
                   : v4                             ? PROTOCOL_ICMP
                                                    : PROTOCOL_ICMPV6;
    uint32_t noise = (answer->chance ^ (uint32_t)forgery->number * 0x9e3779b9u) | 1;
    const size_t bases[EDIT_PLACES] = {header, header + ICMP_HEADER, header + ICMP_HEADER + quoted_header, header, 0};
    for (int i = 0; i < forgery->edit_count; i++)
        if (forgery->edits[i].place < PLACE_AFTER)
            apply(&forgery->edits[i], out, bases[forgery->edits[i].place], &length, &noise);
    size_t checksum_at = header + checksum_offset(protocol);
    if (length >= checksum_at + 2) {
        put16(out + checksum_at, 0);
        uint32_t pseudo = pseudo_header(probe->version, protocol, answer->address, probe->source, length - header);
        uint32_t checksum = ~sum(pseudo, out + header, length - header) & 0xffff;
        put16(out + checksum_at, checksum == 0 && protocol == PROTOCOL_UDP ? 0xffff : checksum);
    }
    for (int i = 0; i < forgery->edit_count; i++)
        if (forgery->edits[i].place == PLACE_AFTER)
            apply(&forgery->edits[i], out, bases[PLACE_AFTER], &length, &noise);
    write_ip_header(out, probe, answer, protocol, length);
    for (int i = 0; i < forgery->edit_count; i++)
        if (forgery->edits[i].place == PLACE_OUTER)
            apply(&forgery->edits[i], out, 0, &length, &noise);
    if (v4) {
        put16(out + 10, 0);
        put16(out + 10, ~sum(0, out, IPV4_HEADER));
    }
    return length;
}
