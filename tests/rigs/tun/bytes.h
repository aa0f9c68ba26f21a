/* Numbers in network order, and the Internet checksum (RFC 1071). */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMPV6 = 58 };

static inline uint16_t get16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static inline void put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void put32(uint8_t *bytes, uint32_t value)
{
    put16(bytes, value >> 16);
    put16(bytes + 2, value & 0xffff);
}

/* The sum of 16-bit words, folded; a checksum is its complement. */
static inline uint32_t sum(uint32_t total, const uint8_t *data, size_t length)
{
    for (; length > 1; data += 2, length -= 2)
        total += get16(data);
    if (length > 0)
        total += (uint32_t)data[0] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* RFC 768; RFC 8200 section 8.1. ICMP has no pseudo header (RFC 792). */
static inline uint32_t pseudo_header(int version, int protocol, const uint8_t *source,
                                     const uint8_t *destination, size_t length)
{
    if (protocol == PROTOCOL_ICMP)
        return 0;
    size_t size = version == 4 ? 4 : 16;
    uint32_t total = (uint32_t)protocol + (uint32_t)(length >> 16) + (uint32_t)(length & 0xffff);
    return sum(sum(total, source, size), destination, size);
}

/* Where the checksum is in a transport header (RFC 768, RFC 792, RFC 9293 section 3.1). */
static inline size_t checksum_offset(int protocol)
{
    return protocol == PROTOCOL_UDP ? 6 : protocol == PROTOCOL_TCP ? 16 : 2;
}

#endif
