#include "packet.h"
#include "bytes.h"
#include "manner.h"
#include "scenario.h"

#include <string.h>

enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO_REQUEST = 8, ICMPV6_ECHO_REQUEST = 128, ICMPV6_ECHO_REPLY = 129 };
enum { IPV4_HEADER = 20, IPV6_HEADER = 40, ICMP_HEADER = 8, UDP_HEADER = 8, TCP_HEADER = 20 };
/* Extension headers (RFC 8200 section 4) that a probe may have in front of its transport header. */
enum { HOP_BY_HOP = 0, ROUTING = 43, DESTINATION_OPTIONS = 60 };
/* RFC 9293 section 3.1. */
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16, TCP_WINDOW = 64240, TCP_MAXIMUM_SEGMENT = 1460 };
/* The longest ICMP error: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c). */
enum { LONGEST_ERROR_V4 = 576, LONGEST_ERROR_V6 = 1280 };

bool probe_parse(struct probe *probe, const uint8_t *datagram, size_t length)
{
    memset(probe, 0, sizeof *probe);
    probe->datagram = datagram;
    probe->length = length;
    probe->version = length > 0 ? datagram[0] >> 4 : 0;
    size_t header;
    if (probe->version == 4 && length >= IPV4_HEADER) {
        header = (size_t)(datagram[0] & 15) * 4;
        uint16_t fragment = get16(datagram + 6);
        if (header < IPV4_HEADER || (fragment & 0x3fff) != 0)
            return false;
        probe->traffic_class = datagram[1];
        probe->label = get16(datagram + 4);
        probe->dont_fragment = (fragment & 0x4000) != 0;
        probe->ttl = datagram[8];
        probe->protocol = datagram[9];
        probe->source = datagram + 12;
        probe->destination = datagram + 16;
        probe->address_size = 4;
    } else if (probe->version == 6 && length >= IPV6_HEADER) {
        header = IPV6_HEADER;
        probe->traffic_class = (datagram[0] << 4 | datagram[1] >> 4) & 0xff;
        probe->label = (uint32_t)(datagram[1] & 15) << 16 | get16(datagram + 2);
        probe->dont_fragment = true;
        probe->protocol = datagram[6];
        probe->ttl = datagram[7];
        probe->source = datagram + 8;
        probe->destination = datagram + 24;
        probe->address_size = 16;
        while (probe->protocol == HOP_BY_HOP || probe->protocol == ROUTING ||
               probe->protocol == DESTINATION_OPTIONS) {
            if (length < header + 8)
                return false;
            probe->protocol = datagram[header];
            header += 8 * ((size_t)datagram[header + 1] + 1);
        }
    } else {
        return false;
    }
    if (length < header + 8)
        return false;
    const uint8_t *transport = datagram + header;
    probe->transport = transport;
    probe->transport_length = length - header;
    if (probe->protocol == PROTOCOL_UDP) {
        probe->identifier = get16(transport);
        probe->sequence = get16(transport + 2);
        probe->checksum = get16(transport + 6);
        if (get16(transport + 4) != probe->transport_length)
            return false;
    } else if (probe->protocol == PROTOCOL_TCP) {
        if (probe->transport_length < TCP_HEADER)
            return false;
        probe->identifier = get16(transport);
        probe->sequence = get16(transport + 2);
        probe->number = get32(transport + 4);
        probe->checksum = get16(transport + 16);
        if ((transport[13] & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
            return false;
    } else if (probe->protocol == (probe->version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) {
        if (transport[0] != (probe->version == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST))
            return false;
        probe->is_echo_request = true;
        probe->checksum = get16(transport + 2);
        probe->identifier = get16(transport + 4);
        probe->sequence = get16(transport + 6);
    } else {
        return false;
    }
    uint32_t pseudo = pseudo_header(probe->version, probe->protocol, probe->source, probe->destination,
                                    probe->transport_length);
    bool none = probe->version == 4 && probe->protocol == PROTOCOL_UDP && probe->checksum == 0;
    probe->checksum_right = none || sum(pseudo, transport, probe->transport_length) == 0xffff;
    return true;
}

size_t probe_flow_key(const struct probe *probe, uint8_t key[48])
{
    uint8_t *end = key;
    memcpy(end, probe->source, probe->address_size);
    end += probe->address_size;
    memcpy(end, probe->destination, probe->address_size);
    end += probe->address_size;
    *end++ = (uint8_t)probe->protocol;
    /* The ports, or type, code, checksum and identifier. */
    size_t size = probe->is_echo_request ? 6 : 4;
    memcpy(end, probe->transport, size);
    end += size;
    if (probe->version == 6) {
        put32(end, probe->label);
        end += 4;
    }
    return (size_t)(end - key);
}

size_t write_ip_header(uint8_t *out, const struct probe *probe, const struct answer *answer, int protocol,
                       size_t length)
{
    if (probe->version == 6) {
        put32(out, 6u << 28);
        put16(out + 4, (uint32_t)(length - IPV6_HEADER));
        out[6] = (uint8_t)protocol;
        out[7] = (uint8_t)answer->ttl;
        memcpy(out + 8, answer->address, 16);
        memcpy(out + 24, probe->source, 16);
        return length;
    }
    memset(out, 0, IPV4_HEADER);
    out[0] = 4 << 4 | IPV4_HEADER / 4;
    put16(out + 2, (uint32_t)length);
    put16(out + 4, answer->chance); /* identification */
    out[8] = (uint8_t)answer->ttl;
    out[9] = (uint8_t)protocol;
    memcpy(out + 12, answer->address, 4);
    memcpy(out + 16, probe->source, 4);
    put16(out + 10, ~sum(0, out, IPV4_HEADER));
    return length;
}

/* Change a 16-bit word of a transport header and its checksum with it (RFC 1624 equation 3). */
static void rewrite(uint8_t *word, uint8_t *checksum, uint16_t value)
{
    if (checksum != NULL) {
        uint32_t total = (uint32_t)(uint16_t)~get16(checksum) + (uint16_t)~get16(word) + value;
        while (total >> 16)
            total = (total & 0xffff) + (total >> 16);
        put16(checksum, ~total);
    }
    put16(word, value);
}

/*
 * Make what is quoted or echoed of the probe's transport header and payload somebody else's.
 *
 * `length` bytes of it are there, which may be few. For data, the ports have changed places. The checksum
 * stays that of the probe for a wrong token only, so that all of the probe's numbers are right.
 */
static void forge(uint8_t *transport, size_t length, const struct probe *probe, const struct answer *answer)
{
    bool has_ports = !probe->is_echo_request;
    bool swapped = answer->type == ANSWER_DATA;
    size_t identifier = has_ports ? (swapped ? 2 : 0) : 4;
    size_t sequence = has_ports ? (swapped ? 0 : 2) : 6;
    size_t header = probe->protocol == PROTOCOL_TCP ? TCP_HEADER : 8;
    size_t checksum_at = checksum_offset(probe->protocol);
    uint8_t *checksum = length >= checksum_at + 2 ? transport + checksum_at : NULL;
    /* Any difference but 0 will do; this one keeps clear of the neighbours of ports and identifiers. */
    uint16_t other = (uint16_t)(0x2000 | (answer->chance & 0x0fff) << 1 | 1);
    int fault = answer->fault;

    if (fault < FAULT_WRONG_IDENTIFIER)
        return;
    if ((fault == FAULT_WRONG_IDENTIFIER || fault == FAULT_REWRITTEN) && length >= identifier + 2)
        rewrite(transport + identifier, checksum, get16(transport + identifier) ^ other);
    if (fault == FAULT_WRONG_SEQUENCE && length >= sequence + 2)
        rewrite(transport + sequence, checksum, get16(transport + sequence) ^ 0x8000);
    if (fault == FAULT_REWRITTEN)
        return;
    for (size_t i = header; i < length; i++)
        transport[i] ^= (uint8_t)(0xa5 ^ i);
    if (fault != FAULT_WRONG_TOKEN && checksum != NULL && length == probe->transport_length) {
        put16(checksum, 0);
        uint32_t pseudo =
            pseudo_header(probe->version, probe->protocol, probe->source, probe->destination, length);
        put16(checksum, ~sum(pseudo, transport, length));
    }
}

static size_t build_error(uint8_t *out, const struct probe *probe, const struct answer *answer)
{
    size_t header = probe->version == 4 ? IPV4_HEADER : IPV6_HEADER;
    size_t longest = probe->version == 4 ? LONGEST_ERROR_V4 : LONGEST_ERROR_V6;
    size_t quoted_header = (size_t)(probe->transport - probe->datagram);
    size_t quoted = longest - header - ICMP_HEADER;
    if (answer->quote >= 0 && quoted > quoted_header + (size_t)answer->quote)
        quoted = quoted_header + (size_t)answer->quote;
    if (quoted > probe->length)
        quoted = probe->length;

    static uint8_t seen[MAX_DATAGRAM]; /* the probe as the routers before have left it */
    memcpy(seen, probe->datagram, probe->length);
    if (answer->manner != NULL)
        manner_rewrite(answer->manner, seen, probe->length, probe->version, probe->protocol, quoted_header);
    if (probe->version == 4) {
        seen[8] = (uint8_t)answer->quoted_ttl;
        put16(seen + 10, 0);
        put16(seen + 10, ~sum(0, seen, quoted_header));
        if (answer->manner != NULL && answer->manner->ip_checksum_wrong)
            seen[11] ^= 0x55;
    } else {
        seen[7] = (uint8_t)answer->quoted_ttl;
    }
    uint8_t *icmp = out + header;
    icmp[0] = (uint8_t)answer->type;
    icmp[1] = (uint8_t)answer->code;
    put16(icmp + 2, 0);
    put32(icmp + 4, answer->rest);
    uint8_t *quote = icmp + ICMP_HEADER;
    memcpy(quote, seen, quoted);
    if (quoted > quoted_header)
        forge(quote + quoted_header, quoted - quoted_header, probe, answer);
    if (answer->manner != NULL)
        quoted = manner_extend(answer->manner, probe->version, icmp, quoted, longest - header - ICMP_HEADER);
    return header + ICMP_HEADER + quoted;
}

static size_t build_echo_reply(uint8_t *out, const struct probe *probe, const struct answer *answer)
{
    size_t header = probe->version == 4 ? IPV4_HEADER : IPV6_HEADER;
    uint8_t *icmp = out + header;
    memcpy(icmp, probe->transport, probe->transport_length);
    forge(icmp, probe->transport_length, probe, answer);
    icmp[0] = (uint8_t)answer->type;
    put16(icmp + 2, 0);
    return header + probe->transport_length;
}

static size_t build_data(uint8_t *out, const struct probe *probe, const struct answer *answer)
{
    size_t header = probe->version == 4 ? IPV4_HEADER : IPV6_HEADER;
    uint8_t *udp = out + header;
    memcpy(udp, probe->transport, probe->transport_length);
    put16(udp, probe->sequence);
    put16(udp + 2, probe->identifier);
    forge(udp, probe->transport_length, probe, answer);
    put16(udp + 6, 0);
    return header + probe->transport_length;
}

/* A SYN-ACK or a RST (RFC 9293 sections 3.5 and 3.10.7). */
static size_t build_segment(uint8_t *out, const struct probe *probe, const struct answer *answer)
{
    size_t header = probe->version == 4 ? IPV4_HEADER : IPV6_HEADER;
    bool accepts = answer->type == ANSWER_SYN_ACK;
    size_t options = accepts ? 4 : 0;
    size_t offset = (size_t)(probe->transport[12] >> 4) * 4;
    uint32_t payload = offset < probe->transport_length ? (uint32_t)(probe->transport_length - offset) : 0;
    uint8_t *tcp = out + header;
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, probe->sequence);
    put16(tcp + 2, probe->identifier);
    put32(tcp + 4, accepts ? answer->chance : 0);
    put32(tcp + 8, probe->number + 1 + (accepts ? 0 : payload));
    tcp[12] = (uint8_t)((TCP_HEADER + options) / 4 << 4);
    tcp[13] = (accepts ? TCP_SYN : TCP_RST) | TCP_ACK;
    put16(tcp + 14, accepts ? TCP_WINDOW : 0);
    if (accepts) { /* maximum segment size: kind 2, length 4 */
        put16(tcp + TCP_HEADER, 0x0204);
        put16(tcp + TCP_HEADER + 2, TCP_MAXIMUM_SEGMENT);
    }
    return header + TCP_HEADER + options;
}

size_t answer_build(uint8_t *out, const struct probe *probe, const struct answer *answer)
{
    size_t header = probe->version == 4 ? IPV4_HEADER : IPV6_HEADER;
    int echo_reply = probe->version == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
    int protocol = probe->version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
    size_t shortened = header + 2 * ICMP_HEADER; /* less than the header that an error quotes */
    size_t length;
    if (answer->type == ANSWER_DATA) {
        length = build_data(out, probe, answer);
        protocol = PROTOCOL_UDP;
        shortened = header + UDP_HEADER / 2;
    } else if (answer->type == ANSWER_SYN_ACK || answer->type == ANSWER_RST) {
        length = build_segment(out, probe, answer);
        protocol = PROTOCOL_TCP;
        shortened = header + TCP_HEADER / 2;
    } else if (answer->type == echo_reply) {
        length = build_echo_reply(out, probe, answer);
        shortened = header + ICMP_HEADER - 2;
    } else {
        length = build_error(out, probe, answer);
    }
    size_t checksum_at = header + checksum_offset(protocol);
    if (answer->fault == FAULT_TRUNCATED && length > shortened)
        length = shortened;
    uint32_t pseudo =
        pseudo_header(probe->version, protocol, answer->address, probe->source, length - header);
    uint32_t checksum = ~sum(pseudo, out + header, length - header) & 0xffff;
    if (checksum == 0 && protocol == PROTOCOL_UDP)
        checksum = 0xffff; /* RFC 768: 0 means that there is none */
    if (length >= checksum_at + 2)
        put16(out + checksum_at, checksum);
    if (answer->fault == FAULT_CORRUPT)
        out[length - 1] ^= 0x55;
    return write_ip_header(out, probe, answer, protocol, length);
}
