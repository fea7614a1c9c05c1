dnl For Sendmail 8.17 and later, to go by what postern-policyd and postern-milter say. README.md beside this
dnl file puts it into /etc/mail/sendmail.mc, before the mailers. Tested as it stands by
dnl tests/system/test_recipes_sendmail.py.

dnl Outgoing: what MTA-STS and your rules demand of each domain, asked of postern-policyd (map "sts").
FEATURE(`sts', `socket -d5 -T<TMPF> inet:5461@127.0.0.1')dnl

dnl Who may sign the certificates that MTA-STS relies on: all whom this machine trusts.
define(`confCACERT_PATH', `/etc/ssl/certs')dnl

dnl FEATURE(`sts') looks at a connection for the first recipient only. A second one, of another domain at
dnl the same hosts, must not ride along on what was good enough for the first.
define(`_LOCAL_TLS_RCPT_')dnl
PUSHDIVERT(9)
SLocal_tls_rcpt
R$*		$: $>"STS_secure" $&{verify}
R$#$*		$#$1
R$*		$@ ok
POPDIVERT

dnl Incoming: your rules, by postern-milter. F=T: while it does not run, clients are told to come again;
dnl without F= Sendmail would let everything in.
INPUT_MAIL_FILTER(`postern', `S=inet:8891@127.0.0.1, F=T, T=C:10s;S:10s;R:10s;E:1m')dnl
