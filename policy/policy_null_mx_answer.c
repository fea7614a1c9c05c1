#include "policy/policy_null_mx_answer.h"

#include <arpa/nameser.h>
#include <stdbool.h>
#include <string.h>

/* The parser of the system's resolver library does the reading: names, counts and lengths are
 * checked there. */

static const struct policy_null_mx_answer unknown = { .result = POLICY_NULL_MX_UNKNOWN };

static void shorten(uint32_t *ttl_s, uint32_t other)
{
	/* more than 31 bits count as 0 (RFC 2181 section 8) */
	if (other > INT32_MAX)
		other = 0;
	if (other < *ttl_s)
		*ttl_s = other;
}

/* Preference 0 and the root as the host. */
static bool is_null(ns_msg *message, const ns_rr *record)
{
	char host[NS_MAXDNAME];
	const uint8_t *data = ns_rr_rdata(*record);
	if (ns_rr_rdlen(*record) < NS_INT16SZ + 1 || ns_get16(data) != 0)
		return false;
	int used = ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message),
		data + NS_INT16SZ, host, sizeof(host));
	return used == ns_rr_rdlen(*record) - NS_INT16SZ && strcmp(host, ".") == 0;
}

static struct policy_null_mx_answer read_records(ns_msg *message)
{
	struct policy_null_mx_answer answer = { POLICY_NULL_MX_NO, UINT32_MAX };
	unsigned mx_count = 0, null_count = 0;
	ns_rr record;
	for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
		if (ns_parserr(message, ns_s_an, i, &record) != 0)
			return unknown;
		shorten(&answer.ttl_s, ns_rr_ttl(record)); /* of aliases on the way as well */
		if (ns_rr_type(record) != ns_t_mx || ns_rr_class(record) != ns_c_in)
			continue;
		mx_count++;
		null_count += is_null(message, &record);
	}
	if (mx_count == 1 && null_count == 1)
		answer.result = POLICY_NULL_MX_YES;
	return answer;
}

/* Nothing was found: the zone says for how long that holds (RFC 2308 section 5). */
static uint32_t negative_ttl_s(ns_msg *message)
{
	ns_rr record;
	for (int i = 0; i < ns_msg_count(*message, ns_s_ns); i++) {
		if (ns_parserr(message, ns_s_ns, i, &record) != 0)
			return 0;
		if (ns_rr_type(record) != ns_t_soa || ns_rr_rdlen(record) < NS_INT32SZ)
			continue;
		uint32_t ttl_s = UINT32_MAX;
		shorten(&ttl_s, ns_rr_ttl(record));
		/* the last field of a SOA record */
		shorten(&ttl_s, (uint32_t)ns_get32(
			ns_rr_rdata(record) + ns_rr_rdlen(record) - NS_INT32SZ));
		return ttl_s;
	}
	return 0;
}

struct policy_null_mx_answer policy_null_mx_answer_parse(const uint8_t *bytes, size_t length)
{
	ns_msg message;
	if (length > NS_MAXMSG || ns_initparse(bytes, (int)length, &message) != 0)
		return unknown;
	int code = ns_msg_getflag(message, ns_f_rcode);
	if (!ns_msg_getflag(message, ns_f_qr) || ns_msg_getflag(message, ns_f_tc) ||
		(code != ns_r_noerror && code != ns_r_nxdomain))
		return unknown;
	struct policy_null_mx_answer answer = read_records(&message);
	if (answer.result == POLICY_NULL_MX_UNKNOWN)
		return answer;
	if (code == ns_r_nxdomain) /* perhaps behind an alias: what it leads to does not exist */
		answer.result = POLICY_NULL_MX_NO;
	if (code == ns_r_nxdomain || ns_msg_count(message, ns_s_an) == 0)
		answer.ttl_s = negative_ttl_s(&message);
	return answer;
}
