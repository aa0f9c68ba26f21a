#include "manner.h"
#include "bytes.h"

#include <string.h>
#include <sys/socket.h>

enum { ICMP_HEADER = 8, STRUCTURE_HEADER = 4, SHORTEST_QUOTE = 128, STRUCTURE_VERSION = 2 };

static int next_choice(struct reader *reader, const char *const *words, int count)
{
    next_word(reader);
    for (int i = 0; i < count; i++)
        if (word_is(reader, words[i]))
            return i;
    fail(reader, "%s is none of the words that can stand here", reader->word);
}

static void read_ports(struct reader *reader, struct ports *ports)
{
    static const char *const words[PORT_POLICIES] = {"closed", "open", "silent", "prohibited"};
    ports->count = next_int(reader, 0, MAX_PORTS);
    for (int i = 0; i < ports->count; i++) {
        ports->ports[i] = (uint16_t)next_int(reader, 0, 65535);
        ports->policies[i] = next_choice(reader, words, PORT_POLICIES);
    }
}

static void read_patch(struct reader *reader, struct manner *manner)
{
    if (manner->patch_count == MAX_PATCHES)
        fail(reader, "more than %d patches", MAX_PATCHES);
    struct patch *patch = &manner->patches[manner->patch_count++];
    patch->offset = (size_t)next_int(reader, 0, 65535);
    patch->length = next_bytes(reader, patch->bytes, sizeof patch->bytes);
}

void manner_read(struct reader *reader, struct manner *manner, int family)
{
    static const char *const forms[FORMS] = {"compliant", "legacy"};
    static const char *const spoils[SPOILS] = {"nothing", "checksum", "version", "object", "no_checksum"};
    static const char *const translations[TRANSLATIONS] = {"none", "whole", "checksum"};
    manner->refusal_type = manner->traffic_class = manner->dont_fragment = -1;
    manner->label = manner->total_length = manner->translated_port = -1;
    for (next_word(reader); !word_is(reader, "."); next_word(reader)) {
        if (word_is(reader, "objects"))
            manner->objects_length = next_bytes(reader, manner->objects, sizeof manner->objects);
        else if (word_is(reader, "form"))
            manner->form = next_choice(reader, forms, FORMS);
        else if (word_is(reader, "spoil"))
            manner->spoil = next_choice(reader, spoils, SPOILS);
        else if (word_is(reader, "refusal")) {
            manner->refusal_type = next_int(reader, 0, 255);
            manner->refusal_code = next_int(reader, 0, 255);
            manner->refusal_rest = (uint32_t)next_integer(reader, 0, UINT32_MAX);
        } else if (word_is(reader, "traffic_class"))
            manner->traffic_class = next_int(reader, 0, 255);
        else if (word_is(reader, "label"))
            manner->label = next_integer(reader, 0, family == AF_INET ? 0xffff : 0xfffff);
        else if (word_is(reader, "dont_fragment"))
            manner->dont_fragment = next_int(reader, 0, 1);
        else if (word_is(reader, "total_length"))
            manner->total_length = next_int(reader, 0, 65535);
        else if (word_is(reader, "ip_checksum_wrong"))
            manner->ip_checksum_wrong = true;
        else if (word_is(reader, "translated")) {
            manner->translation = next_choice(reader, translations, TRANSLATIONS);
            if (!next_address(reader, family, manner->translated_source))
                fail(reader, "a translator needs an address");
            manner->translated_port = next_int(reader, -1, 65535);
        } else if (word_is(reader, "checksum_stale"))
            manner->checksum_stale = true;
        else if (word_is(reader, "patch"))
            read_patch(reader, manner);
        else if (word_is(reader, "forwards_zero"))
            manner->forwards_zero = true;
        else if (word_is(reader, "bursts")) {
            manner->burst_share = next_number(reader, 1);
            manner->burst_length = next_int(reader, 1, 65535);
        } else if (word_is(reader, "tcp")) {
            manner->speaks_tcp = true;
            read_ports(reader, &manner->tcp);
        } else if (word_is(reader, "udp"))
            read_ports(reader, &manner->udp);
        else
            fail(reader, "%s is no manner", reader->word);
    }
}

int ports_policy(const struct ports *ports, uint16_t port, int otherwise)
{
    for (int i = 0; i < ports->count; i++)
        if (ports->ports[i] == port)
            return ports->policies[i];
    return otherwise;
}

/* Replace bytes, and let the checksum follow them (RFC 1624); `pseudo` are not in the transport header. */
static void replace(uint8_t *place, const uint8_t *bytes, size_t length, size_t offset, uint8_t *checksum)
{
    if (checksum != NULL && place != checksum) {
        uint8_t before[64 + 1] = {0}, after[64 + 1] = {0};
        size_t odd = offset % 2;
        memcpy(before + odd, place, length);
        memcpy(after + odd, bytes, length);
        uint32_t total = (uint16_t)~get16(checksum);
        total += (uint16_t)~sum(0, before, odd + length) + sum(0, after, odd + length);
        put16(checksum, ~sum(total >> 16, (uint8_t[]){(uint8_t)(total >> 8), (uint8_t)total}, 2));
    }
    memcpy(place, bytes, length);
}

static void translate(const struct manner *manner, uint8_t *source, size_t address_size, uint8_t *port,
                      uint8_t *checksum, bool has_pseudo_header)
{
    uint8_t original[16], original_port[2], translated_port[2];
    memcpy(original, source, address_size);
    memcpy(original_port, port, 2);
    replace(source, manner->translated_source, address_size, 0, has_pseudo_header ? checksum : NULL);
    if (manner->translated_port >= 0) {
        put16(translated_port, (uint32_t)manner->translated_port);
        replace(port, translated_port, 2, 0, checksum);
    }
    if (manner->translation == TRANSLATION_CHECKSUM) {
        memcpy(source, original, address_size);
        memcpy(port, original_port, 2);
    }
}

void manner_rewrite(const struct manner *manner, uint8_t *datagram, size_t length, int version, int protocol,
                    size_t transport_at)
{
    uint8_t *transport = datagram + transport_at;
    uint8_t *checksum = transport + checksum_offset(protocol);
    if (checksum + 2 > datagram + length || (version == 4 && protocol == PROTOCOL_UDP && get16(checksum) == 0))
        checksum = NULL;
    bool is_echo = protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6;
    uint8_t *port = transport + (is_echo ? 4 : 0);
    if (manner->translation != TRANSLATION_NONE)
        translate(manner, datagram + (version == 4 ? 12 : 8), version == 4 ? 4 : 16, port, checksum,
                  protocol != PROTOCOL_ICMP);
    for (int i = 0; i < manner->patch_count; i++) {
        const struct patch *patch = &manner->patches[i];
        if (transport_at + patch->offset + patch->length <= length)
            replace(transport + patch->offset, patch->bytes, patch->length, patch->offset,
                    manner->checksum_stale ? NULL : checksum);
    }
    if (version == 4) {
        if (manner->traffic_class >= 0)
            datagram[1] = (uint8_t)manner->traffic_class;
        if (manner->total_length >= 0)
            put16(datagram + 2, (uint32_t)manner->total_length);
        if (manner->label >= 0)
            put16(datagram + 4, (uint32_t)manner->label);
        if (manner->dont_fragment >= 0)
            datagram[6] = (uint8_t)((datagram[6] & 0xbf) | manner->dont_fragment << 6);
    } else {
        uint32_t first = get32(datagram);
        if (manner->traffic_class >= 0)
            first = (first & 0xf00fffff) | (uint32_t)manner->traffic_class << 20;
        if (manner->label >= 0)
            first = (first & 0xfff00000) | (uint32_t)manner->label;
        put32(datagram, first);
        if (manner->total_length >= 40)
            put16(datagram + 4, (uint32_t)manner->total_length - 40);
    }
}

/* RFC 4884 section 4: the messages that can be extended. */
static bool can_extend(int version, int type)
{
    return version == 4 ? type == 3 || type == 11 || type == 12 : type == 1 || type == 3;
}

size_t manner_extend(const struct manner *manner, int version, uint8_t *icmp, size_t quoted, size_t room)
{
    if (manner->objects_length == 0 || !can_extend(version, icmp[0]))
        return quoted;
    size_t unit = version == 4 ? 4 : 8;
    size_t structure_length = STRUCTURE_HEADER + manner->objects_length;
    size_t longest = (room - structure_length) / unit * unit;
    size_t padded = quoted < longest ? (quoted + unit - 1) / unit * unit : longest;
    if (padded < SHORTEST_QUOTE || manner->form == FORM_LEGACY)
        padded = SHORTEST_QUOTE;
    uint8_t *quote = icmp + ICMP_HEADER;
    if (quoted < padded)
        memset(quote + quoted, 0, padded - quoted);
    if (manner->form == FORM_COMPLIANT)
        icmp[version == 4 ? 5 : 4] = (uint8_t)(padded / unit);
    uint8_t *structure = quote + padded;
    memset(structure, 0, STRUCTURE_HEADER);
    structure[0] = (STRUCTURE_VERSION + (manner->spoil == SPOIL_VERSION)) << 4;
    memcpy(structure + STRUCTURE_HEADER, manner->objects, manner->objects_length);
    if (manner->spoil == SPOIL_OBJECT) /* the first object is longer than all there is */
        put16(structure + STRUCTURE_HEADER, (uint32_t)manner->objects_length + 4);
    if (manner->spoil != SPOIL_NO_CHECKSUM)
        put16(structure + 2, ~sum(0, structure, structure_length));
    if (manner->spoil == SPOIL_CHECKSUM)
        structure[2] ^= 0x55;
    return padded + structure_length;
}
