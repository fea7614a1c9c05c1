-- MAIL and RCPT as Postfix puts them. Replies' words are looked at by tests/system/test_milter.py: miltertest
-- cannot see them before the end of the message.
local function session(macros, sender, wanted, recipients)
	local conn = mt.connect(socket, 20, 0.1)
	assert(conn, "no connection")
	assert(mt.negotiate(conn, 6, 0x1ff, 0x1fffff) == nil, "negotiation")
	assert(mt.test_action(conn, SMFIF_SETSYMLIST), "asks for macros")
	assert(mt.test_option(conn, SMFIP_NOHELO) and mt.test_option(conn, SMFIP_NOBODY), "spares stages")
	mt.macro(conn, SMFIC_CONNECT, "j", "mx.test", "v", "Postfix 3.7.11", "{daemon_name}", "mx.test")
	assert(mt.conninfo(conn, "client.test", "192.0.2.9") == nil, "connect")
	if macros then
		mt.macro(conn, SMFIC_MAIL, unpack(macros))
	end
	assert(mt.mailfrom(conn, sender) == nil, "MAIL")
	assert(mt.getreply(conn) == wanted, sender .. ": reply " .. mt.getreply(conn) .. ", not " .. wanted)
	for address, reply in pairs(recipients or {}) do
		assert(mt.rcptto(conn, address) == nil, "RCPT")
		assert(mt.getreply(conn) == reply, address .. ": reply " .. mt.getreply(conn))
	end
	mt.disconnect(conn)
end
unpack = unpack or table.unpack
local tls13 = { "{tls_version}", "TLSv1.3", "{cipher}", "TLS_AES_256_GCM_SHA384", "{cipher_bits}", "256" }
local tls12 = { "{tls_version}", "TLSv1.2", "{cipher}", "ECDHE-RSA-AES128-SHA", "{cipher_bits}", "128" }
session(nil, "<a@partner.example>", SMFIR_REPLYCODE)
session(tls12, "<a@partner.example>", SMFIR_CONTINUE)
session(tls12, "<a@modern.example>", SMFIR_REPLYCODE)
session(tls13, "<a@modern.example>", SMFIR_CONTINUE)
session(tls12, "<a@strong.example>", SMFIR_REPLYCODE)
session(nil, "<a@later.example>", SMFIR_REPLYCODE)
session(nil, "<>", SMFIR_CONTINUE)
session(nil, "<a@b.example>", SMFIR_CONTINUE,
	{ ["<x@bank.example>"] = SMFIR_REPLYCODE, ["<x@c.example>"] = SMFIR_CONTINUE })
